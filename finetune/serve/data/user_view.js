// What the user said.
import { copy } from "./clipboard.js";
import { button, make } from "./dom.js";
import { beginEdit } from "./editing.js";
import { keepFavourite } from "./favourites.js";

export function userView(turn) {
  const acts = make("div", "acts",
    button("Edit", "", () => beginEdit(turn)),
    button("Copy", "", () => copy(turn.content)),
    button("Favourite", "", () => keepFavourite(turn.content)));
  const box = make("div", "box", turn.content);
  box.dir = "auto";
  return { element: make("article", "turn user", make("h2", "who", "You"), box, acts) };
}
