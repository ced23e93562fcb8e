// A turn being edited. A question is asked again, and what came after it goes; an answer is corrected.
import { answer } from "./answer.js";
import { button, make, part } from "./dom.js";
import { endEdit } from "./editing.js";
import { keep, session } from "./session.js";

export function editor(turn) {
  const asks = turn.role === "user";
  const field = make("textarea");
  field.value = turn.content;
  field.rows = Math.min(12, turn.content.split("\n").length + 1);
  field.setAttribute("aria-label", "Edit this turn");
  const finish = (kept) => {
    const { chat } = session;
    if (kept && field.value.trim()) {
      turn.content = field.value;
      if (asks) chat.turns.splice(chat.turns.indexOf(turn) + 1);
      else turn.end = "stop";
      keep(chat);
    }
    endEdit();
    part("text").focus();
    if (kept && asks && field.value.trim()) answer();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") finish(false);
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      finish(true);
    }
  });
  const save = button(asks ? "Ask again" : "Save", "main", () => finish(true));
  const acts = make("div", "vote", save, button("Cancel", "", () => finish(false)));
  setTimeout(() => {
    field.focus();
    field.scrollIntoView({ block: "nearest" });
  });
  return { element: make("article", `turn ${turn.role} editing`, field, acts) };
}
