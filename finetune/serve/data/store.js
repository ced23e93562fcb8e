// The chats that the browser keeps: each a record of its own, so that tabs do not write over one another's. Titles are
// apart from the chats, since the list needs no more. Where the browser keeps nothing, they live as long as the tab.
import { note } from "./dom.js";

const changes = "BroadcastChannel" in window ? new BroadcastChannel("camelid-chats") : null;
const listeners = [];
let opened = null;
const memory = { chats: new Map(), titles: new Map() };

function open() {
  opened ??= new Promise((resolve) => {
    const fail = () => {
      note("The browser keeps no chats here; export what you need.");
      resolve(null);
    };
    try {
      const request = indexedDB.open("camelid", 1);
      request.onupgradeneeded = () => {
        for (const name of ["chats", "titles"]) request.result.createObjectStore(name, { keyPath: "id" });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = fail;
    } catch {
      fail();
    }
  });
  return opened;
}

// Run `work` on both stores; it returns the request whose result counts, or nothing.
async function transact(mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(["chats", "titles"], mode);
    const request = work(transaction.objectStore("chats"), transaction.objectStore("titles"));
    transaction.oncomplete = () => resolve(request && request.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

// All chats as {id, title, changed}, the last changed first.
export async function listChats() {
  const titles = (await open()) ? await transact("readonly", (_, all) => all.getAll()) : [...memory.titles.values()];
  return titles.sort((one, other) => other.changed - one.changed);
}

export async function readChat(id) {
  return (await open()) ? transact("readonly", (chats) => chats.get(id)) : structuredClone(memory.chats.get(id));
}

// Keep a chat. False where another tab has kept a later state of it, which then stays.
export async function saveChat(chat, title) {
  const next = { ...chat, revision: chat.revision + 1 };
  const entry = { id: chat.id, title, changed: chat.changed };
  if (!(await open())) {
    memory.chats.set(chat.id, structuredClone(next));
    memory.titles.set(chat.id, entry);
  } else {
    let later = false;
    await transact("readwrite", (chats, titles) => {
      const kept = chats.get(chat.id);
      kept.onsuccess = () => {
        later = Boolean(kept.result) && kept.result.revision !== chat.revision && !same(kept.result, chat);
        if (later) return;
        chats.put(next);
        titles.put(entry);
      };
    });
    if (later) return false;
  }
  chat.revision = next.revision;
  tell(chat.id);
  return true;
}

const same = (one, other) => JSON.stringify(one.turns) === JSON.stringify(other.turns);

export async function removeChat(id) {
  if (await open()) {
    await transact("readwrite", (chats, titles) => {
      chats.delete(id);
      titles.delete(id);
    });
  }
  memory.chats.delete(id);
  memory.titles.delete(id);
  tell(id);
}

function tell(id) {
  if (changes) changes.postMessage(id);
  for (const listener of listeners) listener(id, true);
}

// Calls `listener(id, here)` when a chat has changed, in this tab or in another.
export function onChange(listener) {
  if (!listeners.length && changes) {
    changes.addEventListener("message", (event) => listeners.forEach((each) => each(event.data, false)));
  }
  listeners.push(listener);
}

// Small things, the same for all chats.
export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem("camelid-" + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem("camelid-" + name, JSON.stringify(value));
  } catch {
    note("The browser keeps no settings here.");
  }
}
