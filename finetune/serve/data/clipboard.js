// Copying, over plain http too, where browsers keep their clipboard object from pages.
import { make, note } from "./dom.js";

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    note("Copied.");
  } catch {
    note(copySelected(text) ? "Copied." : "The browser did not let the page copy; select the text instead.");
  }
}

function copySelected(text) {
  const before = document.activeElement;
  const field = make("textarea", "unseen");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (before) before.focus();
  return done;
}
