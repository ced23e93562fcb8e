// The settings of the chat, and which models answer.
import { listModels } from "./api.js";
import { make, note, part } from "./dom.js";
import { changeSettings, isRunning, session } from "./session.js";

const FIELDS = [
  "system", "temperature", "top_p", "max_tokens", "seed",
  "temperature_first", "temperature_second", "system_first", "system_second",
];

export function openSettings(focused = "system") {
  const { settings } = session.chat;
  for (const name of FIELDS) part(name).value = settings[name];
  part("sides").hidden = settings.mode !== "compare";
  if (!part("panel").open) part("panel").showModal();
  part(focused).focus();
}

// Take over what the panel says; browsers tell of its closing a frame later, when the next question may be on its way.
function closed() {
  const { settings } = session.chat;
  const values = Object.fromEntries(FIELDS.map((name) => [name, part(name).value]));
  if (FIELDS.some((name) => values[name] !== settings[name])) changeSettings(values);
  if (!part("model").options.length) loadModels();
}

export async function loadModels() {
  try {
    const names = await listModels();
    for (const id of ["model", "other"]) part(id).replaceChildren(...names.map((name) => make("option", "", name)));
    showModels();
  } catch (error) {
    note("No models: " + error.message);
  }
}

// The chat's models; where one is not served any more, another.
export function showModels() {
  const { settings } = session.chat;
  const names = [...part("model").options].map((option) => option.value);
  if (!names.length) return;
  if (!names.includes(settings.model)) settings.model = names[0];
  if (!names.includes(settings.other)) settings.other = names.find((name) => name !== settings.model) || names[0];
  for (const id of ["model", "other"]) part(id).value = settings[id];
  const { mode } = settings;
  for (const id of ["compare", "arena"]) part(id).setAttribute("aria-pressed", String(mode === id));
  for (const id of ["other", "versus"]) part(id).hidden = mode !== "compare";
  part("model").hidden = mode === "arena";
  part("arena").hidden = names.length < 2 && mode !== "arena";
  document.body.classList.toggle("comparing", mode !== "one");
  for (const id of ["model", "other", "compare", "arena"]) part(id).disabled = isRunning();
}

function choose(mode) {
  const { settings } = session.chat;
  changeSettings({ mode: settings.mode === mode ? "one" : mode });
  if (settings.mode === "compare" && settings.model === settings.other) differ("model", "other");
  const alone = settings.mode === "compare" && settings.model === settings.other;
  note(...(alone ? ["One model is served: give each side a temperature or system prompt of its own in Settings."] : []));
}

// Unless their settings tell them apart, the two models are never the same.
function differ(changed, last) {
  const { settings } = session.chat;
  const own = ["temperature", "system"].some((name) => settings[name + "_first"] !== settings[name + "_second"]);
  const field = part(last);
  if (settings.mode !== "compare" || own || settings[changed] !== settings[last]) return;
  field.selectedIndex = (field.selectedIndex + 1) % field.options.length;
  changeSettings({ [last]: field.value });
}

export function startSettings() {
  part("settings").addEventListener("click", () => openSettings());
  part("done").addEventListener("click", () => {
    closed();
    part("panel").close();
  });
  part("panel").addEventListener("close", closed);
  part("compare").addEventListener("click", () => choose("compare"));
  part("arena").addEventListener("click", () => choose("arena"));
  for (const [id, last] of [["model", "other"], ["other", "model"]]) {
    part(id).addEventListener("change", () => {
      changeSettings({ [id]: part(id).value });
      differ(id, last);
    });
  }
  document.addEventListener("key-needed", () => openSettings("key"));
}
