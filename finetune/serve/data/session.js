// The chat on the page, the answers being written (of other chats, too), and keeping what was said.
//
// A chat: {id, title, changed, revision, settings, turns}. A turn: {role: "user", content}, or {role: "assistant",
// content, model, end, failure}, or one with `pair`: {id, sides, winner, models}, each side {content, end, failure}. `end`
// is the server's reason, "stopped" by the user, or nothing while it is being written (and for ever, if the tab went).
import { note } from "./dom.js";
import { readChat, recall, remember, saveChat } from "./store.js";

export const DEFAULTS = {
  mode: "one", model: "", other: "", system: "", temperature: "0.7", top_p: "1", max_tokens: "512", seed: "",
  temperature_first: "", temperature_second: "", system_first: "", system_second: "",
};
const PACE = 1000; // milliseconds between two savings of an answer that is being written

export const events = new EventTarget(); // "changed": turns or settings did; "grew": an answer has more text
export const session = { chat: null, editing: null };
export const running = new Map(); // chats whose answer is being written, each with its AbortController

export const isRunning = () => running.has(session.chat);
export const tell = (name) => events.dispatchEvent(new Event(name));
export const newId = () => "chat-" + crypto.getRandomValues(new Uint32Array(2)).join("-");

export function blankChat() {
  const settings = { ...DEFAULTS, ...recall("settings", {}) };
  return { id: newId(), title: "", changed: Date.now(), revision: 0, settings, turns: [] };
}

export function title(chat) {
  const first = chat.turns.find((turn) => turn.role === "user");
  const words = chat.title || (first ? first.content.trim().replace(/\s+/g, " ") : "");
  return words.length > 80 ? words.slice(0, 79) + "…" : words || "New chat";
}

// What the model is told of the first `count` turns.
export function messages(chat, count) {
  const system = chat.settings.system.trim();
  const said = chat.turns.slice(0, count).map(({ role, content }) => ({ role, content }));
  return system ? [{ role: "system", content: system }, ...said] : said;
}

export function show(chat) {
  session.chat = chat;
  session.editing = null;
  try {
    sessionStorage.setItem("camelid-chat", chat.id); // of this tab alone
  } catch {
    // the tab then begins with a new chat
  }
  tell("changed");
}

export async function openChat(id) {
  const live = [...running.keys()].find((chat) => chat.id === id);
  const chat = live || (await readChat(id));
  if (!chat) return false;
  chat.settings = { ...DEFAULTS, ...chat.settings };
  show(chat);
  return true;
}

export function changeSettings(values) {
  Object.assign(session.chat.settings, values);
  remember("settings", session.chat.settings);
  keep(session.chat);
  tell("changed");
}

// Keep a chat, after what is being kept already.
let queue = Promise.resolve();
const timers = new Map();
const writing = new WeakMap(); // how many savings of a chat are not done yet

export const isKept = (chat) => !writing.get(chat);

export function keep(chat) {
  clearTimeout(timers.get(chat));
  timers.delete(chat);
  chat.changed = Date.now();
  writing.set(chat, (writing.get(chat) || 0) + 1);
  queue = queue
    .then(() => write(chat))
    .catch((error) => note("The chat was not kept: " + error.message))
    .finally(() => writing.set(chat, writing.get(chat) - 1));
  return queue;
}

export function keepSoon(chat) {
  if (!timers.has(chat)) timers.set(chat, setTimeout(() => keep(chat), PACE));
}

async function write(chat) {
  if (!chat.turns.length || (await saveChat(chat, title(chat)))) return;
  chat.id = newId();
  chat.revision = 0;
  if (chat === session.chat) show(chat);
  note("Another tab went on with this chat; here it goes on as a chat of its own.");
  await saveChat(chat, title(chat));
}
