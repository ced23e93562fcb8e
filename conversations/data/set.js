// A set of conversations as a page: what is its own beside camelid/data/browsing.js. What its index and blocks hold is
// written down in conversations/look/set_page.py.

const LISTED = 100; // rows that are put on the page at a time
const LENGTH = "length in words"; // the number that every conversation has, beside its scores
const TYPED = ["search", "least", "most"];
const CHOSEN = ["sources", "languages", "shapes", "order"];

Object.assign(state, {
  asRead: true, // whether what the model reads is shown, where that is known
  markdown: false, // whether turns are shown as Markdown
});

/* ---- the data ---- */

async function detailOf(place) {
  const { starts } = state.index;
  let number = starts.length - 1;
  while (starts[number] > place) number--;
  return (await unpackedBlock(number))[place - starts[number]];
}

// The numbers to filter and order by, by name: a value for each conversation, null where it has none.
function numbers(name) {
  return name === LENGTH ? state.index.lengths : state.index.scores[name];
}

/* ---- the list ---- */

function filter() {
  const { index } = state;
  const fits = [];
  for (const name of ["sources", "languages", "shapes"]) {
    const wanted = find(name).value;
    if (wanted !== "") fits.push((place) => index[name][1][place] === Number(wanted));
  }
  const values = numbers(find("score").value);
  for (const [id, inside] of [["least", (value, bound) => value >= bound], ["most", (value, bound) => value <= bound]]) {
    const bound = find(id).valueAsNumber;
    if (!isNaN(bound)) fits.push((place) => values[place] != null && inside(values[place], bound));
  }
  if (state.words.length) {
    fits.push((place) => {
      const text = state.texts ? state.texts[place] : `${index.ids[place]}\n${index.texts[place]}`.toLowerCase();
      return state.words.every((word) => text.includes(word));
    });
  }
  const shown = [];
  for (let place = 0; place < index.ids.length; place++) if (fits.every((fit) => fit(place))) shown.push(place);
  const order = find("order").value;
  if (order) {
    const sign = order === "high" ? -1 : 1; // what has no such number comes last
    const key = (place) => (values[place] == null ? Infinity : sign * values[place]);
    shown.sort((one, two) => (key(one) === key(two) ? one - two : key(one) - key(two)));
  }
  state.shown = shown;
  find("items").replaceChildren();
  listMore();
  find("list").scrollTop = 0;
  const count = (number) => number.toLocaleString("en");
  find("count").textContent = `${count(shown.length)} of ${count(index.ids.length)} conversations`;
  find("none").hidden = shown.length > 0;
}

// Put the next rows on the page, at least up to the place that is given.
function listMore(least = 0) {
  const items = find("items");
  const from = items.childElementCount;
  const to = Math.min(state.shown.length, Math.max(from + LISTED, least + 1));
  items.append(...state.shown.slice(from, to).map(row));
  const left = state.shown.length - to;
  find("more").hidden = left === 0;
  find("more").textContent = `Show more (${left.toLocaleString("en")} left)`;
  markCurrent();
}

function row(place) {
  const { index } = state;
  const name = find("score").value;
  const value = numbers(name)[place];
  const number = value == null ? "–" : shownNumber(value);
  const where = make("span", "where", make("span", "", index.ids[place]), make("span", "", number));
  const item = make("a", "item", where, make("span", "asked", index.texts[place] || "(nothing asked)"));
  item.href = address(place);
  item.dataset.place = place;
  return item;
}

function shownNumber(value) {
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3)));
}

async function allTexts() {
  const texts = [];
  for (const number of state.index.starts.keys()) {
    find("count").textContent = `reading the texts: ${Math.round((100 * number) / state.index.starts.length)} %`;
    for (const { messages } of await unpack(find(`block-${number}`))) {
      const said = messages.flatMap((one) => [one.content, one.tool_calls ? JSON.stringify(one.tool_calls) : ""]);
      texts.push([state.index.ids[texts.length], ...said].join("\n").toLowerCase());
    }
  }
  return texts;
}

/* ---- one conversation ---- */

async function show(place, { keepAddress = false, focus = false } = {}) {
  const again = state.current === place;
  state.current = place;
  const at = state.shown.indexOf(place);
  if (at >= find("items").childElementCount) listMore(at);
  markCurrent();
  const item = at < 0 ? null : find("items").children[at];
  if (item) reveal(item);
  if (focus && item) item.focus({ preventScroll: true });
  if (!keepAddress) history.replaceState(null, "", address(place));
  const detail = await detailOf(place);
  if (state.current !== place) return; // another one was opened meanwhile
  const asRead = state.asRead && detail.runs !== null;
  const body = asRead ? whatIsRead(detail.runs) : detail.messages.map(turn);
  const beside = [more("tools", detail.tools), more("meta", detail.meta)];
  putDetail([heading(place, detail), about(place), ...body, ...beside], again);
}

function switched(text, name, label) {
  const flip = () => {
    state[name] = !state[name];
    show(state.current, { keepAddress: true });
  };
  const made = button("", text, flip, { label, keep: name });
  made.setAttribute("aria-pressed", String(state[name]));
  return made;
}

function heading(place, detail) {
  const link = make("a", "permalink", state.index.ids[place]);
  link.href = address(place);
  const switches = [];
  if (detail.runs !== null) switches.push(switched("as the model reads it", "asRead", "As the model reads it"));
  if (detail.runs === null || !state.asRead) switches.push(switched("Markdown", "markdown", "Show Markdown"));
  const beside = make("span", "steps", ...switches, ...steps("conversation"));
  return make("header", "opened", make("h2", "", link), beside);
}

function about(place) {
  const { index } = state;
  const facts = [
    ["source", index.sources[0][index.sources[1][place]]],
    ["language", index.languages[0][index.languages[1][place]]],
    ["shape", index.shapes[0][index.shapes[1][place]]],
    ["words", shownNumber(index.lengths[place])],
  ];
  for (const [name, held] of Object.entries(index.scores)) {
    if (held[place] != null) facts.push([`${name} score`, shownNumber(held[place])]);
  }
  return make("dl", "about", ...facts.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
}

// One turn: who speaks, whether it is trained, the text, the tools that it calls, and whatever else it has.
function turn({ role, content, trained, reasoning, truncated, tool_calls: calls = [], tool_call_id: answered, ...others }) {
  delete others.weight; // it is said by `trained`
  const words = trained === 1 ? "trained" : trained ? `trained by ${trained}` : role === "assistant" ? "not trained" : "";
  const head = make("p", "", make("b", "", role), words && ` · ${words}`, truncated ? " · cut off" : "");
  if (answered) head.append(` · of call ${answered}`);
  const box = make("section", trained ? "turn is-trained" : "turn", head);
  if (reasoning) box.append(make("details", "", make("summary", "", "what it thought before"), make("pre", "", reasoning)));
  const said = state.markdown ? make("div", "said rendered", markdown(content)) : make("div", "said", content);
  for (const code of said.querySelectorAll("pre")) code.tabIndex = 0;
  if (content) box.append(said);
  for (const call of calls) {
    const name = make("b", "", call.function.name);
    const id = call.id ? ` · call ${call.id}` : "";
    box.append(make("p", "", "calls ", name, id), make("pre", "said", call.function.arguments));
  }
  for (const [name, value] of Object.entries(others)) box.append(more(name, value));
  return box;
}

// What the model reads, document by document, and which of it is trained; or why it can't be written.
function whatIsRead(documents) {
  if (typeof documents === "string") return [make("p", "warn", `Not written by the template: ${documents}`)];
  return documents.flatMap((runs, at) => {
    const spans = runs.map(([weight, text]) => {
      const span = make("span", weight ? "trained" : "", text);
      if (weight) span.title = weight === 1 ? "trained" : `trained by ${weight}`;
      return span;
    });
    const text = make("pre", "", ...spans);
    return documents.length > 1 ? [make("p", "part", `document ${at + 1} of ${documents.length}`), text] : [text];
  });
}

function more(name, value) {
  if (value === null || (typeof value === "object" && !Object.keys(value).length)) return "";
  return make("details", "", make("summary", "", name), make("pre", "", JSON.stringify(value, null, 2)));
}

/* ---- addresses: #c=CONVERSATION ---- */

function address(place) {
  return `#c=${encodeURIComponent(state.index.ids[place])}`;
}

async function fromAddress() {
  const place = state.index.ids.indexOf(new URLSearchParams(location.hash.slice(1)).get("c"));
  if (place < 0) return false;
  if (!state.shown.includes(place)) clearFilters();
  await show(place, { keepAddress: true });
  return true;
}

/* ---- controls ---- */

// Fill the filters with what there is; one with a single choice is left out.
function controls() {
  const { index } = state;
  for (const name of ["sources", "languages", "shapes"]) {
    const [names, places] = index[name];
    const counts = names.map(() => 0);
    for (const place of places) counts[place]++;
    find(name).append(...names.map((text, at) => new Option(`${text} (${counts[at].toLocaleString("en")})`, at)));
    find(name).hidden = names.length < 2;
    find(name).onchange = filter;
  }
  find("score").append(...[LENGTH, ...Object.keys(index.scores)].map((name) => new Option(name, name)));
  find("score").onchange = () => {
    find("least").value = find("most").value = "";
    filter();
  };
  find("order").onchange = filter;
  find("least").oninput = find("most").oninput = later(filter);
  find("more").onclick = () => listMore();
}

start(() => {
  controls();
  filter();
});
