// Puts the page together: what is drawn when something changes, and what the tab begins with.
import { showChats, startChats } from "./chat_list.js";
import { showComposer, startComposer } from "./composer.js";
import { note } from "./dom.js";
import { startFavourites } from "./favourites.js";
import { blankChat, events, keep, openChat, running, session, show } from "./session.js";
import { loadModels, showModels, startSettings } from "./settings.js";
import { recall } from "./store.js";
import { startTransfer } from "./transfer.js";
import { showTurns, startTurns } from "./turns.js";

function showAll() {
  showTurns();
  showComposer();
  showModels();
  showChats();
}

// The chat this tab had, or a new one.
async function firstChat() {
  let kept = null;
  try {
    kept = sessionStorage.getItem("camelid-chat");
  } catch {
    // a browser that keeps nothing
  }
  if (kept && (await openChat(kept))) return;
  show(adopted() || blankChat());
}

// The one chat that earlier versions of this page kept.
function adopted() {
  const turns = recall("turns", []);
  localStorage.removeItem("camelid-turns");
  if (!turns.length) return null;
  const chat = blankChat();
  chat.turns = turns.map(({ pair, failure, ...turn }) => (turn.role === "user" ? turn : { ...turn, failure, end: "stop" }));
  keep(chat);
  return chat;
}

session.chat = blankChat();
note();
for (const start of [startTurns, startComposer, startSettings, startFavourites, startChats, startTransfer]) start();
events.addEventListener("changed", showAll);
addEventListener("pagehide", () => [...running.keys()].forEach(keep));
await firstChat();
await loadModels();
document.documentElement.dataset.ready = "yes";
