// Chats out of the browser and in again, as conversation lines that Camelid's other commands read.
import { make, note, part } from "./dom.js";
import { blankChat, isRunning, messages, newId, openChat, session, title } from "./session.js";
import { listChats, readChat, saveChat } from "./store.js";

const ROLES = ["system", "user", "assistant"];

function line(chat) {
  const models = [...new Set(chat.turns.map((turn) => turn.model).filter(Boolean))];
  const turns = messages(chat, chat.turns.length);
  const first = turns.length - chat.turns.length;
  chat.turns.forEach((turn, place) => {
    if (turn.role === "assistant" && turn.end !== "stop" && !turn.pair) turns[place + first].truncated = true;
  });
  const meta = { source: "camelid serve", models, title: title(chat) };
  return JSON.stringify({ id: chat.id, messages: turns, meta }) + "\n";
}

function save(text, name) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  note(`Saved as ${name}; camelid conversations and camelid finetune read it.`);
}

async function saveAll() {
  const kept = [];
  for (const { id } of await listChats()) kept.push(await readChat(id));
  if (!kept.length) return note("There is no chat yet.");
  save(kept.filter(Boolean).map(line).join(""), "chats.jsonl");
}

// The chat of a conversation line.
function parse(text, place) {
  const wrong = (why) => new Error(`line ${place}: ${why}`);
  let record;
  try {
    record = JSON.parse(text);
  } catch {
    throw wrong("is no JSON");
  }
  const turns = record && record.messages;
  if (!Array.isArray(turns) || !turns.length) throw wrong("has no 'messages'");
  for (const turn of turns) {
    const known = turn && ROLES.includes(turn.role) && typeof turn.content === "string";
    if (!known) throw wrong("'messages' must have a 'role' of system, user or assistant, and a text as 'content'");
  }
  const chat = blankChat();
  const system = turns.filter((turn) => turn.role === "system");
  const { meta = {} } = record;
  const model = (meta.models || []).length === 1 ? meta.models[0] : "";
  chat.settings.system = system.map((turn) => turn.content).join("\n\n");
  chat.title = typeof meta.title === "string" ? meta.title : "";
  chat.turns = turns.filter((turn) => turn.role !== "system").map(({ role, content, truncated }) =>
    role === "user" ? { role, content } : { role, content, model, end: truncated ? "stopped" : "stop" });
  if (!chat.turns.length) throw wrong("holds no question and no answer");
  return chat;
}

async function read(file) {
  const lines = (await file.text()).split("\n");
  const chats = lines.flatMap((text, at) => (text.trim() ? [parse(text, at + 1)] : []));
  if (!chats.length) throw new Error("holds no chat");
  for (const chat of chats) {
    chat.id = newId();
    await saveChat(chat, title(chat));
  }
  if (!isRunning()) await openChat(chats[0].id);
  note(`${chats.length === 1 ? "One chat" : chats.length + " chats"} read from ${file.name}.`);
}

export function startTransfer() {
  part("export").addEventListener("click", () => save(line(session.chat), session.chat.id + ".jsonl"));
  part("export-all").addEventListener("click", saveAll);
  part("import").addEventListener("click", () => part("file").click());
  part("file").addEventListener("change", async () => {
    const [file] = part("file").files;
    if (file) await read(file).catch((error) => note(`${file.name}: ${error.message}`));
    part("file").value = "";
  });
}
