// A set of conversations: a list that is searched, filtered and ordered, and one conversation opened from it. The index
// is unpacked at the start, the texts block by block when they are needed (see conversations/look/set_page.py).

const find = (id) => document.getElementById(id);
const narrow = () => matchMedia("(max-width: 56rem)").matches; // the list is above the conversation, as in set.css
const LISTED = 100; // rows that are put on the page at a time
const HIGHLIGHTS = 2000; // marks of searched words at most
const LENGTH = "length in words"; // the number that every conversation has, beside its scores

const state = {
  index: null,
  shown: [], // places of the conversations that fit, in the chosen order
  current: -1, // place of the opened one
  blocks: new Map(), // promises of unpacked blocks by number
  texts: null, // of each conversation all texts in lower case, once a search needs them
  words: [], // searched words
  asRead: true, // whether what the model reads is shown, where that is known
  markdown: false, // whether turns are shown as Markdown
};

/* ---- the data ---- */

function unpackedBlock(number) {
  if (!state.blocks.has(number)) state.blocks.set(number, unpack(find(`block-${number}`)));
  return state.blocks.get(number);
}

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

// The opened conversation is marked, and is the one place where Tab enters the list.
function markCurrent() {
  const rows = [...find("items").children];
  let entered = false;
  for (const item of rows) {
    const current = Number(item.dataset.place) === state.current;
    if (current) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
    item.tabIndex = current ? 0 : -1;
    entered ||= current;
  }
  if (!entered && rows.length) rows[0].tabIndex = 0;
}

/* ---- search ---- */

async function search() {
  state.words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  if (state.words.length && !state.texts) state.texts = await (state.searching ||= allTexts());
  filter();
  highlight();
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

// Mark the searched words in the opened conversation, without touching its nodes.
function highlight() {
  if (!window.Highlight) return;
  const ranges = [];
  const walker = document.createTreeWalker(find("detail"), NodeFilter.SHOW_TEXT);
  while (state.words.length && ranges.length < HIGHLIGHTS && walker.nextNode()) {
    const node = walker.currentNode;
    const text = node.data.toLowerCase();
    if (text.length !== node.length) continue; // lower case moved the letters
    for (const word of state.words) {
      for (let at = text.indexOf(word); at >= 0 && ranges.length < HIGHLIGHTS; at = text.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
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
  const box = find("detail");
  const kept = box.contains(document.activeElement) && document.activeElement.dataset.keep;
  const asRead = state.asRead && detail.runs !== null;
  const body = asRead ? whatIsRead(detail.runs) : detail.messages.map(turn);
  const beside = [more("tools", detail.tools), more("meta", detail.meta)];
  box.replaceChildren(heading(place, detail), about(place), ...body, ...beside);
  if (!again) box.scrollTop = 0;
  if (kept) box.querySelector(`[data-keep="${kept}"]`)?.focus({ preventScroll: true });
  highlight();
}

// Scroll the list, not the page.
function reveal(item) {
  const box = find("list");
  if (item.offsetTop < box.scrollTop) box.scrollTop = item.offsetTop - 8;
  const low = item.offsetTop + item.offsetHeight - box.clientHeight;
  if (low > box.scrollTop) box.scrollTop = low + 8;
}

function button(text, keep, label, onclick) {
  const made = make("button", "", text);
  made.type = "button";
  made.dataset.keep = keep; // it has the keyboard's focus again after another conversation was put in its place
  made.setAttribute("aria-label", label);
  made.title = label;
  made.onclick = onclick;
  return made;
}

function switched(text, name, label) {
  const made = button(text, name, label, () => {
    state[name] = !state[name];
    show(state.current, { keepAddress: true });
  });
  made.setAttribute("aria-pressed", String(state[name]));
  return made;
}

function heading(place, detail) {
  const link = make("a", "permalink", state.index.ids[place]);
  link.href = address(place);
  const steps = make("span", "steps");
  if (detail.runs !== null) steps.append(switched("as the model reads it", "asRead", "As the model reads it"));
  if (detail.runs === null || !state.asRead) steps.append(switched("Markdown", "markdown", "Show Markdown"));
  steps.append(
    button("←", "previous", "Previous conversation (k)", () => move(-1)),
    button("→", "next", "Next conversation (j)", () => move(1)),
  );
  return make("header", "opened", make("h2", "", link), steps);
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

function move(by) {
  if (!state.shown.length) return;
  const at = state.shown.indexOf(state.current);
  const next = at < 0 ? 0 : Math.min(state.shown.length - 1, Math.max(0, at + by));
  show(state.shown[next], { focus: find("list").contains(document.activeElement) });
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

function clearFilters() {
  for (const id of ["search", "least", "most"]) find(id).value = "";
  for (const id of ["sources", "languages", "shapes", "order"]) find(id).selectedIndex = 0;
  state.words = [];
  filter();
  highlight();
}

function keys(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target.id === "search") {
    clearFilters();
    event.target.blur();
  } else if (event.key === "Enter" && event.target.id === "search" && state.shown.length) {
    show(state.shown[0], { focus: true });
  } else if (typing) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    find("search").focus();
  } else if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  } else if (find("list").contains(event.target) && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  }
}

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
  const later = (run) => {
    let waiting;
    return () => {
      clearTimeout(waiting);
      waiting = setTimeout(run, 150);
    };
  };
  find("least").oninput = find("most").oninput = later(filter);
  find("search").oninput = later(search);
  find("clear").onclick = clearFilters;
  find("more").onclick = () => listMore();
}

function openFromList(event) {
  const item = event.target.closest("a.item");
  if (!item || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(Number(item.dataset.place), { focus: true });
  if (narrow()) find("detail").scrollIntoView();
}

async function start() {
  if (!window.DecompressionStream) {
    find("count").textContent = "This browser is too old to unpack the texts (it needs DecompressionStream, 2023).";
    return;
  }
  state.index = await unpack(find("index"));
  controls();
  filter();
  find("items").onclick = openFromList;
  document.addEventListener("keydown", keys);
  addEventListener("hashchange", fromAddress);
  if (!(await fromAddress()) && state.shown.length) await show(state.shown[0], { keepAddress: true });
  document.documentElement.dataset.ready = "true";
}
start();
