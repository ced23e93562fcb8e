// What a screen reader hears of answers: each new text once, in a place of its own that nobody sees. The answers
// themselves are redrawn while they are written, and would be read again with every word.
import { make, part } from "./dom.js";

const APART = new Set(["BR", "LI", "P", "PRE", "TD", "TH", "TR"]);

export function announce(text) {
  if (text.trim()) part("spoken").append(make("p", "", text));
}

export function announceNode(node) {
  announce(words(node));
}

export function hush() {
  part("spoken").replaceChildren();
}

function words(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  const inside = [...node.childNodes].map(words).join("");
  return APART.has(node.tagName) ? inside + " " : inside;
}
