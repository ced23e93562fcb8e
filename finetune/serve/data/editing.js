// Which turn is being edited.
import { note } from "./dom.js";
import { isRunning, session, tell } from "./session.js";

export function beginEdit(turn) {
  if (isRunning()) {
    note("Stop the answer first, then edit.");
    return;
  }
  session.editing = turn;
  tell("changed");
}

export function endEdit() {
  session.editing = null;
  tell("changed");
}
