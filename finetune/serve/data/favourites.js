// Prompts that the user comes back to, kept in the browser.
import { button, make, note, part } from "./dom.js";
import { recall, remember } from "./store.js";

const STARTERS = [
  "Explain why the sky is blue to a ten-year-old, in one paragraph.",
  "Write a short, polite e-mail that moves a meeting from Tuesday to Thursday.",
  "Make a table of the planets with their diameters and numbers of moons.",
  "Write a Python function that tells whether a word is a palindrome, with a test.",
];

let prompts = [];

export function keepFavourite(text) {
  const prompt = text.trim();
  if (!prompt) return note("Write something into the message box first.");
  if (prompts.includes(prompt)) return note("It is among the favourite prompts already.");
  change([prompt, ...prompts]);
  note("Kept among the favourite prompts.");
}

function change(next) {
  prompts = next;
  remember("favourites", prompts);
  showFavourites();
}

function use(prompt) {
  part("prompts").hidePopover();
  part("text").value = prompt;
  part("text").focus();
}

function item(prompt, ...more) {
  const choose = button("", "prompt", () => use(prompt));
  choose.append(make("bdi", "", prompt));
  return make("li", "", choose, ...more);
}

function showFavourites() {
  part("starters").replaceChildren(...prompts.slice(0, 4).map((prompt) => item(prompt)));
  part("favourites").replaceChildren(...prompts.map((prompt) => {
    const drop = button("×", "drop", () => {
      change(prompts.filter((other) => other !== prompt));
      part("favourite").focus();
    });
    drop.setAttribute("aria-label", "Remove: " + prompt.slice(0, 60));
    drop.title = "Remove";
    return item(prompt, drop);
  }));
}

export function startFavourites() {
  prompts = recall("favourites", STARTERS);
  part("favourite").addEventListener("click", () => keepFavourite(part("text").value));
  showFavourites();
}
