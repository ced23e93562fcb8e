// Two answers side by side, without names until the vote.
import { vote, votable } from "./answer.js";
import { answerText } from "./answer_view.js";
import { copy } from "./clipboard.js";
import { button, foreign, make } from "./dom.js";

const WINNERS = ["first", "second"];

export function pairView(turn, { live, last }) {
  const { pair } = turn;
  const texts = pair.sides.map((side) => answerText(side, live));
  const sides = texts.map(({ nodes }, side) => {
    const name = pair.models ? [": ", foreign(pair.models[side])] : [];
    const box = make("section", "", make("h2", "who", "Answer " + "AB"[side], ...name), ...nodes);
    if (pair.winner === WINNERS[side]) box.classList.add("won");
    return box;
  });
  const element = make("article", "turn assistant", make("div", "pair", ...sides));
  if (!live) element.append(...below(turn, last));
  return { element, grow: () => texts.forEach(({ grow }) => grow()) };
}

function below(turn, last) {
  if (last && votable(turn.pair)) return [ballot(turn)];
  const said = make("div", "vote", make("span", "who", verdict(turn.pair, last)));
  return turn.pair.winner ? [said, make("div", "acts", button("Copy", "", () => copy(turn.content)))] : [said];
}

function ballot(turn) {
  const choice = (label, winner) => {
    const made = button(label, "", () => vote(turn, winner));
    made.disabled = Boolean(turn.voting);
    return made;
  };
  return make("div", "vote", choice("A is better", "first"), choice("Tie", "tie"), choice("B is better", "second"));
}

function verdict({ winner, sides }, last) {
  if (winner) {
    const kept = winner === "second" ? "B" : "A";
    return `You voted: ${winner === "tie" ? "a tie" : kept + " is better"}. The chat goes on with answer ${kept}.`;
  }
  if (!last) return "No vote; the chat went on with answer A.";
  return sides.some(({ content }) => content.trim())
    ? "No vote: one answer did not come to its end."
    : "No vote: both answers are empty.";
}
