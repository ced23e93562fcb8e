// The question browser: what is its own beside camelid/data/browsing.js. What its index and blocks hold is written down
// in eval/report/page_data.py.

const TYPED = ["search"];
const CHOSEN = ["category", "outcome", "order"];

Object.assign(state, {
  rows: [], // the list's links, in the order of the questions
  a: 0, // the two models compared, as places in index.models
  b: 0,
  order: "", // how the list is ordered: a choice of #order
});

/* ---- the data ---- */

async function detailOf(question) {
  return (await unpackedBlock(question.block))[question.place];
}

// What the two models got on a question: against each other if they met, else each on its own or against the baseline.
function scoresOf(question) {
  const { a, b } = state;
  for (const [first, second, one, two] of question.pairs) {
    if (first === a && second === b) return [one, two];
    if (first === b && second === a) return [two, one];
  }
  if (state.index.mode.paired && state.index.baseline === null) return [null, null];
  return [question.scores[a], question.scores[b]];
}

function betterOf(question) {
  const [one, two] = scoresOf(question);
  if (one == null || two == null) return "unknown";
  return one > two ? "a" : one < two ? "b" : "tie";
}

// All models, best first; then those without a rank.
function modelOrder() {
  const { models, ranked } = state.index;
  return [...new Set([...ranked.map((label) => models.indexOf(label)), ...models.keys()])];
}

/* ---- the list ---- */

function row(question, place) {
  const where = make("span", "where", `${question.id} · ${question.category}`);
  const item = make("a", "item", where, make("span", "asked", question.text), make("span", "chips"));
  item.href = `#q=${encodeURIComponent(question.id)}`;
  item.dataset.place = place;
  return item;
}

// The scores of the chosen models at a question in the list; the better one has a frame.
function chips(question) {
  const { mode, models } = state.index;
  if (models.length === 1) return [make("span", "chip a", shownScore(question.scores[0]))];
  const [one, two] = scoresOf(question);
  const better = betterOf(question);
  if (mode.verdict === "winner" && better !== "unknown") {
    const words = { a: "A wins", b: "B wins", tie: "tie" }[better];
    return [make("span", `chip ${better} ${better === "tie" ? "" : "won"}`, words)];
  }
  return [
    make("span", `chip a ${better === "a" ? "won" : ""}`, shownScore(one)),
    make("span", `chip b ${better === "b" ? "won" : ""}`, shownScore(two)),
  ];
}

function fits(question, place) {
  const category = find("category").value;
  const outcome = find("outcome").value;
  if (category && question.category !== category) return false;
  if (outcome.startsWith("is-") && betterOf(question) !== outcome.slice(3)) return false;
  if (outcome.startsWith("has-") && !question.issues.includes(outcome.slice(4))) return false;
  const text = state.texts ? state.texts[place] : `${question.id} ${question.text}`.toLowerCase();
  return state.words.every((word) => text.includes(word));
}

// Places of all questions in the chosen order: the file's, or by what one model gains on the other, or by how much they
// differ, whichever is better; unknown ones last.
function ordered() {
  const { questions } = state.index;
  const side = find("order").value;
  const gains = questions.map((question) => {
    const [one, two] = scoresOf(question);
    if (one == null || two == null) return -Infinity;
    return { a: one - two, b: two - one, change: Math.abs(one - two) }[side];
  });
  return [...questions.keys()].sort((one, two) => (side ? gains[two] - gains[one] || one - two : one - two));
}

function filter() {
  const { questions } = state.index;
  const places = ordered();
  state.shown = places.filter((place) => fits(questions[place], place));
  for (const row of state.rows) row.hidden = true;
  for (const place of state.shown) state.rows[place].hidden = false;
  if (find("order").value !== state.order || state.order) find("list").append(...places.map((place) => state.rows[place]));
  state.order = find("order").value;
  find("count").textContent = `${state.shown.length} of ${questions.length} questions`;
  find("tally").textContent = tally();
  find("none").hidden = state.shown.length > 0;
  markCurrent();
}

// How the chosen models did on the questions that are shown.
function tally() {
  if (state.a === state.b) return "";
  const counts = { a: 0, tie: 0, b: 0, unknown: 0 };
  for (const place of state.shown) counts[betterOf(state.index.questions[place])]++;
  const missing = counts.unknown ? ` · no score ${counts.unknown}` : "";
  return `A better ${counts.a} · equal ${counts.tie} · B better ${counts.b}${missing}`;
}

async function allTexts() {
  find("count").textContent = "searching the answers …";
  const texts = [];
  for (const question of state.index.questions) {
    const detail = await detailOf(question);
    const answers = detail.answers.flatMap((answer) => (answer ? answer[0] : []));
    texts.push([question.id, ...detail.turns, ...detail.references, ...answers].join("\n").toLowerCase());
  }
  return texts;
}

/* ---- opening a question ---- */

async function show(place, { keepAddress = false, focus = false } = {}) {
  const question = state.index.questions[place];
  const again = state.current === place;
  state.current = place;
  markCurrent();
  reveal(state.rows[place]);
  if (focus) state.rows[place].focus({ preventScroll: true });
  if (!keepAddress) history.replaceState(null, "", address(question));
  const detail = await detailOf(question);
  if (state.current !== place) return; // another one was opened meanwhile
  const turns = detail.turns.flatMap((_, turn) => exchange(detail, turn));
  putDetail([...questionHeader(question), ...turns], again);
}

// Compare these two models, in the list and in the opened question.
async function choose(a, b) {
  Object.assign(state, { a, b });
  find("model-a").value = a;
  find("model-b").value = b;
  const { models } = state.index;
  for (const side of ["a", "b"]) {
    const option = find("outcome").querySelector(`[value="is-${side}"]`);
    if (option) option.textContent = `better: ${side.toUpperCase()}, ${models[state[side]]}`;
  }
  state.rows.forEach((item, place) => item.lastChild.replaceChildren(...chips(state.index.questions[place])));
  filter();
  if (state.current >= 0) await show(state.current);
}

/* ---- addresses: #q=QUESTION&a=MODEL&b=MODEL, each part optional ---- */

function address(question) {
  const { models } = state.index;
  const parts = { q: question.id, ...(models.length > 1 && { a: models[state.a], b: models[state.b] }) };
  return "#" + Object.entries(parts).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
}

// Go where the address says; false if it says nothing that is here.
async function fromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const place = state.index.questions.findIndex((question) => question.id === parts.get("q"));
  const sides = ["a", "b"].map((side) => state.index.models.indexOf(parts.get(side)));
  if (place < 0 && sides.every((model) => model < 0)) return false;
  clearFilters();
  if (place >= 0) state.current = place;
  else if (state.current < 0) state.current = 0;
  await choose(sides[0] < 0 ? state.a : sides[0], sides[1] < 0 ? state.b : sides[1]);
  find(narrow() && place >= 0 ? "detail" : "questions").scrollIntoView();
  return true;
}

/* ---- the start ---- */

// Fill the filters with what there is, and leave out those that nothing fits.
function controls() {
  const { models, questions } = state.index;
  for (const id of ["model-a", "model-b"]) {
    find(id).append(...modelOrder().map((model) => new Option(models[model], model)));
    find(id).onchange = () => choose(Number(find("model-a").value), Number(find("model-b").value));
  }
  for (const option of find("outcome").querySelectorAll('[value^="has-"]')) {
    const count = questions.filter((question) => question.issues.includes(option.value.slice(4))).length;
    if (count) option.textContent += ` (${count})`;
    else option.remove();
  }
  if (models.length === 1) for (const option of find("outcome").querySelectorAll('[value^="is-"]')) option.remove();
  find("outcome").hidden = find("outcome").options.length === 1;
  find("versus").hidden = models.length === 1;
  const categories = [...new Set(questions.map((question) => question.category))];
  find("category").append(...categories.map((text) => new Option(text, text)));
  find("category").hidden = categories.length === 1;
  find("category").onchange = find("outcome").onchange = find("order").onchange = filter;
  find("order").hidden = models.length === 1;
}

// The two that the page is about, else the best two models, or the best one and the baseline.
function firstChoice() {
  const { models, baseline, compared } = state.index;
  if (compared) return compared;
  const rivals = modelOrder().filter((model) => models[model] !== baseline);
  const a = rivals[0] ?? 0;
  return [a, baseline ? models.indexOf(baseline) : rivals[1] ?? a];
}

/* ---- the numbers above ---- */

// A click on a heading of the leaderboard sorts by its column, another one the other way round; unknown values stay last.
function makeSortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows].filter((row) => row.cells.length === heads.length);
  heads.forEach((head, place) => {
    const value = (row) => row.cells[place].dataset.sort;
    if (!rows.some(value)) return;
    const choice = make("button", "sort", ...head.childNodes);
    choice.type = "button";
    choice.onclick = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (one, two) => (isNaN(one) ? one.localeCompare(two) : one - two) * (down ? -1 : 1);
      const unknown = rows.filter((row) => !value(row));
      const known = rows.filter(value).sort((one, two) => compare(value(one), value(two)));
      body.prepend(...known, ...unknown);
    };
    head.append(choice);
  });
}
document.querySelectorAll(".leader").forEach(makeSortable);

// What is typed above the leaderboard leaves the models that fit, in every table and drawing that has one a row.
if (find("models")) {
  const named = "#scores, #categories, #pairs, #spread, #basis".split(", ")
    .flatMap((part) => [...document.querySelectorAll(`${part} tbody tr:not(.total):not(.scale), ${part} figure`)])
    .map((box) => [box, box.querySelector("th.name, figcaption")?.textContent.toLowerCase()])
    .filter(([, name]) => name !== undefined);
  find("models").oninput = () => {
    const words = find("models").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [box, name] of named) box.hidden = !words.every((word) => name.includes(word));
  };
}

// A click on a name in the legend shows or hides its line in the radar.
for (const choice of document.querySelectorAll(".legend button")) {
  choice.onclick = () => {
    const on = choice.getAttribute("aria-pressed") !== "true";
    choice.setAttribute("aria-pressed", String(on));
    choice.closest(".board").querySelector(`[data-series="${choice.value}"]`).classList.toggle("off", !on);
  };
}

// One board for each judge; the same choice holds in all sections.
const boards = find("board");
if (boards) {
  boards.onchange = () => {
    for (const box of document.querySelectorAll(".board")) box.hidden = box.dataset.board !== boards.value;
  };
}

start(() => {
  controls();
  state.rows = state.index.questions.map(row);
  find("list").append(...state.rows);
  choose(...firstChoice());
});
