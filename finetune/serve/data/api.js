// Talking to the server, in OpenAI's protocol.
import { part } from "./dom.js";

const BREATH = 8; // milliseconds of reading, then the page gets its turn

export async function ask(path, body, signal) {
  const key = part("key").value;
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: "Bearer " + key } : {}) };
  const reply = await fetch("v1/" + path, {
    method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body),
  });
  if (reply.ok) return reply;
  const error = (await reply.json().catch(() => ({}))).error;
  if (reply.status === 401) document.dispatchEvent(new Event("key-needed"));
  throw new Error((error && (error.message || error)) || `HTTP ${reply.status}`);
}

export async function listModels() {
  return (await (await ask("models")).json()).data.map((model) => model.id);
}

// What comes of an answer, as {text, end}: `end` is the reason why it is over, once it is.
export async function* stream(request, signal) {
  const reply = await ask("chat/completions", { ...request, stream: true }, signal);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", since = performance.now();
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value || "")).split(/\r?\n/);
    rest = done ? "" : lines.pop();
    let text = "", end = null;
    for (const line of lines) {
      const said = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (!said || said === "[DONE]") continue;
      const event = JSON.parse(said);
      if (event.error) throw new Error(event.error.message || String(event.error));
      const choice = (event.choices || [])[0];
      text += (choice && choice.delta && choice.delta.content) || "";
      end = (choice && choice.finish_reason) || end;
    }
    if (text || end) yield { text, end };
    if (done) return;
    if (performance.now() - since > BREATH) {
      await new Promise((resume) => setTimeout(resume));
      since = performance.now();
    }
  }
}
