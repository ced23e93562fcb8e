// The few words that all parts of the page share.
import { make } from "./markdown.js";

export { make };

export const part = (id) => document.getElementById(id);

export function button(label, className, run) {
  const made = make("button", className, label);
  made.type = "button";
  made.addEventListener("click", run);
  return made;
}

// Text of somebody else, which cannot turn around what stands beside it (U+202E and its like).
export const foreign = (text) => make("bdi", "", text);

const KEYS = "Enter sends, Shift+Enter begins a line, Esc stops, ↑ edits your last message";

export function note(...words) {
  part("note").replaceChildren(...(words.length ? words : [make("span", "keys", KEYS)]));
}
