// The list of chats: open, rename, delete.
import { button, foreign, make, note, part } from "./dom.js";
import { blankChat, isKept, isRunning, keep, openChat, running, session, show, title } from "./session.js";
import { listChats, onChange, readChat, removeChat } from "./store.js";

let renaming = null; // the id of the chat whose name is being written

export async function showChats() {
  const kept = await listChats();
  const { chat } = session;
  if (!kept.some(({ id }) => id === chat.id)) kept.unshift({ id: chat.id, title: title(chat) });
  if (renaming) return;
  const focused = part("chat-list").contains(document.activeElement) && document.activeElement.dataset.key;
  part("chat-list").replaceChildren(...kept.map(item));
  if (focused) part("chat-list").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function item(entry) {
  const current = entry.id === session.chat.id;
  const keyed = (key, label, className, run) => {
    const made = button(label, className, run);
    made.dataset.key = `${key} ${entry.id}`;
    return made;
  };
  const open = keyed("open", "", "open", () => choose(entry.id));
  open.append(foreign(entry.title));
  open.title = entry.title;
  if (!current) return make("li", "", open);
  open.setAttribute("aria-current", "true");
  const row = make("li", "current", open);
  if (session.chat.turns.length) {
    row.append(keyed("rename", "Rename", "quiet", () => rename(row)), keyed("delete", "Delete", "quiet", () => drop(entry.id)));
  }
  return row;
}

async function choose(id) {
  closeList();
  if (id !== session.chat.id && !(await openChat(id))) note("This chat was deleted in another tab.");
  part("text").focus();
}

export function newChat() {
  closeList();
  show(blankChat());
  note();
  part("text").focus();
}

function closeList() {
  if (part("chats").matches(":popover-open")) part("chats").hidePopover();
}

function rename(row) {
  const { chat } = session;
  const field = make("input");
  field.value = title(chat);
  field.setAttribute("aria-label", "Name of the chat");
  const finish = async (kept) => {
    if (renaming !== chat.id) return;
    renaming = null;
    if (kept) {
      chat.title = field.value.trim().slice(0, 200);
      await keep(chat);
    }
    await showChats();
    part("chat-list").querySelector("[aria-current]")?.focus();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) finish(true);
    if (event.key === "Escape") {
      event.preventDefault(); // of closing the list
      finish(false);
    }
  });
  field.addEventListener("blur", () => finish(true));
  renaming = chat.id;
  row.replaceChildren(field);
  field.select();
}

async function drop(id) {
  if (isRunning()) running.get(session.chat).abort();
  const { chat } = session;
  await keep(chat); // whatever is being written; then it goes
  await removeChat(chat.id);
  newChat();
  const undo = button("Undo", "", async () => {
    chat.revision = 0;
    await keep(chat);
    await openChat(chat.id);
    note();
    part("text").focus();
  });
  note("Deleted: ", foreign(title(chat)), " ", undo);
}

export function startChats() {
  part("new").addEventListener("click", newChat);
  onChange(async (id, here) => {
    const idle = () => id === session.chat.id && !isRunning() && !session.editing && isKept(session.chat);
    if (!here && idle() && (await readChat(id)) && idle()) await openChat(id);
    await showChats();
  });
}
