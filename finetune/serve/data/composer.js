// The message box and the buttons beside it.
import { answer, stop } from "./answer.js";
import { note, part } from "./dom.js";
import { beginEdit } from "./editing.js";
import { isRunning, session } from "./session.js";
import { hush } from "./spoken.js";

export function showComposer() {
  const { turns } = session.chat;
  const busy = isRunning();
  const held = document.activeElement;
  part("send").hidden = busy;
  part("stop").hidden = !busy;
  part("again").hidden = !turns.length;
  part("again").setAttribute("aria-disabled", String(busy)); // not `disabled`, which would lose the focus
  part("again").textContent = turns.length && turns[turns.length - 1].role === "user" ? "Answer" : "Regenerate";
  part("turns").setAttribute("aria-busy", String(busy));
  part("empty").hidden = turns.length > 0;
  part("export").disabled = busy || !turns.length;
  if (held === part("send") && busy) part("stop").focus();
  if (held === part("stop") && !busy) part("text").focus();
}

function send() {
  const text = part("text").value;
  const { turns } = session.chat;
  if (!text.trim() || isRunning() || session.editing) return;
  if (turns.length && turns[turns.length - 1].role === "user") turns.pop();
  turns.push({ role: "user", content: text });
  part("text").value = "";
  begin();
}

function again() {
  const { turns } = session.chat;
  if (isRunning() || session.editing || !turns.length) return;
  if (turns[turns.length - 1].role === "assistant") turns.pop();
  begin();
}

function begin() {
  note();
  hush();
  answer();
}

export function startComposer() {
  part("send").addEventListener("click", send);
  part("again").addEventListener("click", again);
  part("stop").addEventListener("click", stop);
  part("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && !part("text").value) {
      const turn = session.chat.turns.findLast(({ role }) => role === "user");
      if (!turn) return;
      event.preventDefault();
      beginEdit(turn);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) stop();
  });
}
