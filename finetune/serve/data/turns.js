// The turns of the chat. What has not changed stays where it is, with focus, selection and scroll position.
import { answerView } from "./answer_view.js";
import { make, part } from "./dom.js";
import { editor } from "./editor.js";
import { pairView } from "./pair_view.js";
import { events, isRunning, session } from "./session.js";
import { userView } from "./user_view.js";

const NEAR = 80; // pixels from the end within which the page follows what is being written

const LONG = 5000; // characters of a turn that is left out of the layout while it is out of sight

const views = new WeakMap(); // of each turn: {state, element, grow}
let shown = null; // the chat that was drawn last
let following = true; // whether the page scrolls along with what is being written
let height = 0; // scroll position that was seen last

const log = () => part("turns");

function view(turn, place) {
  const last = place === session.chat.turns.length - 1;
  const live = last && isRunning();
  const editing = session.editing === turn;
  const state = JSON.stringify([editing, live, last && Boolean(turn.pair), facts(turn)]);
  const kept = views.get(turn);
  if (kept && kept.state === state) return kept;
  const make = editing ? editor : turn.role === "user" ? userView : turn.pair ? pairView : answerView;
  const made = { state, ...make(turn, { live, last }) };
  views.set(turn, made);
  return made;
}

// What decides how a turn looks, but for the text of an answer.
function facts({ role, content, model, end, failure, voting, pair }) {
  const sides = pair && [pair.winner, pair.models, ...pair.sides.map((side) => [side.end, side.failure])];
  return [role === "user" && content, model, end, failure, voting, sides];
}

export function showTurns() {
  const { chat } = session;
  const wanted = chat.turns.map((turn, place) => view(turn, place));
  const list = log();
  wanted.forEach(({ element }, place) => {
    element.classList.toggle("long", isLong(chat.turns[place]));
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] || null);
  });
  while (list.children.length > wanted.length) list.lastChild.remove();
  for (const { grow } of wanted.toReversed()) if (grow) grow();
  if (shown !== chat || isRunning()) following = true;
  shown = chat;
  follow();
}

function isLong({ content, pair }) {
  return Math.max(content.length, ...(pair ? pair.sides.map((side) => side.content.length) : [])) > LONG;
}

function grow() {
  const { turns } = session.chat;
  const kept = turns.length && views.get(turns[turns.length - 1]);
  if (kept && kept.grow) kept.grow();
}

function follow() {
  const main = part("main");
  if (following) main.scrollTop = main.scrollHeight;
}

// It scrolls along until the user scrolls up, and again once the end is near.
function scrolled() {
  const main = part("main");
  if (main.scrollHeight - main.scrollTop - main.clientHeight < NEAR) following = true;
  else if (main.scrollTop < height) following = false;
  height = main.scrollTop;
}

export function startTurns() {
  part("main").addEventListener("scroll", scrolled);
  new ResizeObserver(follow).observe(log());
  events.addEventListener("grew", grow);
}
