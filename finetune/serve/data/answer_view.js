// One answer of a model, as Markdown that grows while it is written.
import { copy } from "./clipboard.js";
import { button, foreign, make } from "./dom.js";
import { draw } from "./drawing.js";
import { beginEdit } from "./editing.js";
import { Growing } from "./growing.js";
import { announceNode } from "./spoken.js";

const texts = new WeakMap(); // of each answer, so that it is drawn once however often what is around it changes

const ENDS = { length: "Cut at its token limit.", stopped: "Stopped." };

export function answerView(turn, { live }) {
  const { nodes, grow } = answerText(turn, live, live ? announceNode : null);
  const acts = make("div", "acts",
    button("Edit", "", () => beginEdit(turn)),
    button("Copy", "", () => copy(turn.content)));
  const element = make("article", "turn assistant", make("h2", "who", foreign(turn.model || "Answer")), ...nodes);
  if (!live) element.append(acts);
  return { element, grow };
}

// The text of an answer and what there is to say of it; `grow` draws what has come since. `onFinal` hears of each block.
export function answerText(answer, live, onFinal = null) {
  if (!texts.has(answer)) texts.set(answer, new Growing(onFinal));
  const growing = texts.get(answer);
  const nodes = [growing.element];
  if (answer.failure) {
    const error = make("div", "error", foreign(answer.failure));
    error.setAttribute("role", "alert");
    nodes.push(error);
  } else if (!live && answer.end !== "stop") {
    nodes.push(make("div", "state", ENDS[answer.end] || "Not finished."));
  }
  const writing = live && !answer.end && !answer.failure;
  const grow = () => {
    growing.element.classList.toggle("waiting", writing && !answer.content);
    draw(growing, answer.content, !writing || Boolean(answer.end || answer.failure));
  };
  return { nodes, grow };
}
