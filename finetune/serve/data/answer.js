// Asking for answers: one, or a pair of them, and the vote on a pair.
import { ask, stream } from "./api.js";
import { note } from "./dom.js";
import { announce } from "./spoken.js";
import { isRunning, keep, keepSoon, messages, running, session, tell } from "./session.js";

const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"];

// Have the chat's last question answered.
export async function answer() {
  const chat = session.chat;
  const control = new AbortController();
  const said = messages(chat, chat.turns.length);
  const asked = { messages: said, ...sampling(chat.settings) };
  const turn = { role: "assistant", content: "" };
  running.set(chat, control);
  chat.turns.push(turn);
  if (chat.settings.mode === "one") await single(chat, turn, asked, control.signal);
  else await pair(chat, turn, asked, control.signal);
  running.delete(chat);
  const sides = turn.pair ? turn.pair.sides : [turn];
  if (sides.every((side) => side.end === "stopped" && !side.content)) chat.turns.pop();
  tell("changed");
  await keep(chat);
}

export function stop() {
  if (isRunning()) running.get(session.chat).abort();
}

function sampling(settings) {
  const set = {};
  for (const name of NUMBERS) {
    const value = settings[name];
    if (value !== "" && Number.isFinite(Number(value))) set[name] = Number(value);
  }
  return set;
}

async function single(chat, turn, asked, signal) {
  turn.model = chat.settings.model;
  tell("changed");
  await write(chat, turn, { ...asked, model: turn.model }, signal);
}

async function pair(chat, turn, asked, signal) {
  turn.pair = { id: null, sides: [{ content: "" }, { content: "" }] };
  tell("changed");
  const { sides } = turn.pair;
  try {
    const who = chat.settings.mode === "arena" ? {} : { sides: contestants(chat.settings) };
    const made = await (await ask("pairs", { messages: asked.messages, ...who }, signal)).json();
    turn.pair.id = made.id;
    await Promise.all(made.models.map((model, side) => write(chat, sides[side], { ...asked, model }, signal)));
  } catch (error) {
    for (const side of sides) fail(side, error);
  }
  turn.content = sides[0].content;
  for (const [side, { content }] of sides.entries()) if (content) announce(`Answer ${"AB"[side]}: ${content}`);
}

// Who is compared: a model, and what its side alone is asked with.
function contestants(settings) {
  const side = (model, temperature, system) => ({
    model,
    ...(temperature === "" ? {} : { temperature: Number(temperature) }),
    ...(system.trim() ? { system: system.trim() } : {}),
  });
  return [
    side(settings.model, settings.temperature_first, settings.system_first),
    side(settings.other, settings.temperature_second, settings.system_second),
  ];
}

async function write(chat, into, request, signal) {
  try {
    for await (const { text, end } of stream(request, signal)) {
      into.content += text;
      if (end) into.end = end;
      tell("grew");
      keepSoon(chat);
    }
    if (!into.end) into.failure = "The answer broke off before its end.";
  } catch (error) {
    fail(into, error);
  }
}

function fail(into, error) {
  if (error.name === "AbortError") into.end = "stopped";
  else into.failure = error.message;
}

// Whether a pair can be voted on: both answers whole, and one at least says something.
export function votable({ id, sides, winner }) {
  const whole = sides.every(({ end, failure }) => (end === "stop" || end === "length") && !failure);
  return Boolean(id) && winner === undefined && whole && sides.some(({ content }) => content.trim());
}

export async function vote(turn, winner) {
  const chat = session.chat;
  if (turn.voting || !votable(turn.pair)) return;
  turn.voting = true;
  tell("changed");
  const { id, sides } = turn.pair;
  const body = { pair: id, winner, answers: sides.map((side) => side.content), finish_reasons: sides.map((side) => side.end) };
  try {
    const kept = await (await ask("votes", body)).json();
    turn.pair.winner = kept.winner;
    turn.pair.models = kept.models;
    const best = kept.winner === "second" ? 1 : 0;
    [turn.content, turn.model] = [sides[best].content, kept.models[best]];
    delete turn.voting;
    note(`Vote kept in ${kept.folder}`);
    keep(chat);
  } catch (error) {
    delete turn.voting;
    note("The vote was not kept: " + error.message);
  }
  tell("changed");
}
