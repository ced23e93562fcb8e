// The question browser: the list from the index, one question at a time from its block, unpacked when needed.

const find = (id) => document.getElementById(id);
const pairMode = () => state.index.mode !== "single";
const narrow = () => matchMedia("(max-width: 56rem)").matches; // list above the answers, as in report.css
const state = { index: null, shown: [], current: -1, a: 0, b: 0, blocks: new Map(), texts: null, words: [] };

async function unpack(element) {
  const coded = atob(element.textContent);
  const bytes = new Uint8Array(coded.length);
  for (let at = 0; at < coded.length; at++) bytes[at] = coded.charCodeAt(at);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

function block(number) {
  if (!state.blocks.has(number)) state.blocks.set(number, unpack(find(`block-${number}`)));
  return state.blocks.get(number);
}

async function detailOf(question) {
  return (await block(question.block))[question.place];
}

// What two models got on a question: against each other if they met, else each on its own or against the baseline.
function scoresOf(question, a, b) {
  for (const [first, second, one, two] of question.pairs) {
    if (first === a && second === b) return [one, two];
    if (first === b && second === a) return [two, one];
  }
  if (pairMode() && state.index.baseline === null) return [null, null];
  return [question.scores[a], question.scores[b]];
}

function met(question, a, b) {
  return question.pairs.some(([first, second]) => (first === a && second === b) || (first === b && second === a));
}

function betterOf(question) {
  const [one, two] = scoresOf(question, state.a, state.b);
  if (one == null || two == null) return "unknown";
  return one > two ? "a" : one < two ? "b" : "tie";
}

function shownScore(score) {
  if (score == null) return "–";
  const { mode } = state.index;
  if (mode === "single" || mode === "vicuna") return String(Math.round(score * 100) / 100);
  return `${Math.round(score * 100)}%`;
}

/* ---- the list ---- */

function row(question, place) {
  const head = make("span", "where", `${question.id} · ${question.category}`);
  const item = make("a", "item", head, make("span", "asked", question.text), make("span", "chips"));
  item.href = `#q=${encodeURIComponent(question.id)}`;
  item.tabIndex = -1;
  item.dataset.place = place;
  return item;
}

function chips(question) {
  const { mode, models } = state.index;
  if (models.length === 1) return [make("span", "chip a", shownScore(question.scores[0]))];
  const [one, two] = scoresOf(question, state.a, state.b);
  const better = betterOf(question);
  if (mode === "pairwise" && met(question, state.a, state.b)) {
    const words = { a: "A wins", b: "B wins", tie: "tie", unknown: "–" }[better];
    return [make("span", `chip ${better} ${better === "tie" ? "" : "won"}`, words)];
  }
  return [
    make("span", `chip a ${better === "a" ? "won" : ""}`, shownScore(one)),
    make("span", `chip b ${better === "b" ? "won" : ""}`, shownScore(two)),
  ];
}

function refreshChips() {
  state.rows.forEach((item, place) => item.lastChild.replaceChildren(...chips(state.index.questions[place])));
}

function fits(question, place) {
  const category = find("category").value, outcome = find("outcome").value;
  if (category && question.category !== category) return false;
  if (outcome.startsWith("is-") && betterOf(question) !== outcome.slice(3)) return false;
  if (outcome.startsWith("has-") && !question.issues.includes(outcome.slice(4))) return false;
  const text = state.texts ? state.texts[place] : `${question.id} ${question.text}`.toLowerCase();
  return state.words.every((word) => text.includes(word));
}

function filter() {
  const { questions } = state.index;
  state.shown = [];
  questions.forEach((question, place) => {
    const there = fits(question, place);
    state.rows[place].hidden = !there;
    if (there) state.shown.push(place);
  });
  find("count").textContent = `${state.shown.length} of ${questions.length} questions`;
  find("none").hidden = state.shown.length > 0;
  mark();
}

async function search() {
  state.words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  filter();
  if (state.words.length && !state.texts) {
    find("count").textContent = "searching the answers …";
    state.texts = await (state.searching ||= allTexts());
    filter();
  }
  highlight();
}

async function allTexts() {
  const texts = [];
  for (const question of state.index.questions) {
    const detail = await detailOf(question);
    const parts = [question.id, ...detail.turns, ...detail.references];
    for (const answer of detail.answers) if (answer) parts.push(...answer[0]);
    texts.push(parts.join("\n").toLowerCase());
  }
  return texts;
}

// Searched words in the open question, without touching its nodes.
function highlight() {
  if (!window.Highlight) return;
  const ranges = [];
  if (state.words.length) {
    const walker = document.createTreeWalker(find("detail"), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node && ranges.length < 2000; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      for (const word of state.words) {
        for (let at = text.indexOf(word); at >= 0 && at + word.length <= node.length; at = text.indexOf(word, at + word.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + word.length);
          ranges.push(range);
        }
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

function mark() {
  state.rows.forEach((item, place) => {
    if (place === state.current) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
    item.tabIndex = place === state.current ? 0 : -1;
  });
  if (!state.shown.includes(state.current) && state.shown.length) state.rows[state.shown[0]].tabIndex = 0;
}

/* ---- one question ---- */

async function open(place, { address = true, focus = false } = {}) {
  const question = state.index.questions[place];
  state.current = place;
  mark();
  reveal(state.rows[place]);
  if (focus) state.rows[place].focus({ preventScroll: true });
  if (address) history.replaceState(null, "", `#q=${encodeURIComponent(question.id)}`);
  const detail = await detailOf(question);
  if (state.current !== place) return; // another one was opened meanwhile
  const box = find("detail");
  box.replaceChildren(header(question, detail), ...detail.turns.flatMap((_, turn) => exchange(question, detail, turn)));
  box.scrollTop = 0;
  highlight();
}

// Scroll the list, not the page.
function reveal(item) {
  const box = find("list");
  if (item.offsetTop < box.scrollTop) box.scrollTop = item.offsetTop - 8;
  const low = item.offsetTop + item.offsetHeight - box.clientHeight;
  if (low > box.scrollTop) box.scrollTop = low + 8;
}

function header(question, detail) {
  const step = (text, label, by) => {
    const button = make("button", "step", text);
    button.type = "button";
    button.title = label;
    button.setAttribute("aria-label", label);
    button.onclick = () => move(by);
    return button;
  };
  const link = make("a", "permalink", question.id);
  link.href = `#q=${encodeURIComponent(question.id)}`;
  link.title = "A link to this question";
  const head = make("header", "opened", make("h3", "", link, make("span", "category", question.category)));
  head.append(make("span", "steps", step("←", "Previous question (k)", -1), step("→", "Next question (j)", 1)));
  const box = make("div", "", head);
  if (state.index.models.length > 2) box.append(strip(question));
  return box;
}

// Every model's score on this question; a click shows that model's answer on the right.
function strip(question) {
  const box = make("div", "strip");
  box.setAttribute("aria-label", "Scores on this question; choose one to compare");
  for (const model of order()) {
    const score = make("b", "", shownScore(question.scores[model]));
    const side = model === state.a ? "a" : model === state.b ? "b" : "";
    const button = make("button", side, state.index.models[model], score);
    button.type = "button";
    button.setAttribute("aria-pressed", String(side !== ""));
    button.onclick = () => model !== state.a && choose(state.a, model);
    box.append(button);
  }
  return box;
}

function exchange(question, detail, turn) {
  const several = detail.turns.length > 1;
  const nodes = [make("p", "label", several ? `Question, turn ${turn + 1}` : "Question"), make("div", "ask", markdown(detail.turns[turn]))];
  if (detail.references[turn] !== undefined) {
    nodes.push(make("details", "reference", make("summary", "", "Reference answer"), markdown(detail.references[turn])));
  }
  const outcomes = detail.outcomes.filter((outcome) => outcome[1] === turn + 1);
  const sides = state.a === state.b ? [state.a] : [state.a, state.b];
  const direct = outcomes.filter(([, , models]) => models.length === 2 && sides.every((side) => models.includes(side)));
  const columns = make("div", `pair ${sides.length === 1 ? "alone" : ""}`);
  sides.forEach((model, place) => {
    const own = sides.length === 2 && direct.length ? [] : outcomes.filter(([, , models]) => models.includes(model));
    columns.append(answer(question, detail, turn, model, "ab"[place], own));
  });
  nodes.push(columns);
  if (sides.length === 2 && direct.length) nodes.push(make("div", "verdicts", make("p", "label", "Verdicts"), ...direct.map(verdict)));
  return nodes;
}

function answer(question, detail, turn, model, side, outcomes) {
  const given = detail.answers[model];
  const text = given && given[0][turn];
  const head = make("header", "", make("b", "", state.index.models[model]));
  const box = make("section", `answer ${side}`, head);
  if (text === undefined || text === null) {
    box.append(make("p", "warn", `No answer: ${(given && given[2]) || "there is none in the answer file"}`));
  } else {
    const words = text.split(/\s+/).filter(Boolean).length;
    const raw = make("button", "raw-switch", "plain text");
    raw.type = "button";
    raw.setAttribute("aria-pressed", "false");
    head.append(make("span", "", `${words.toLocaleString("en")} words`), raw);
    let body = text.trim() ? markdown(text) : make("p", "warn", "(an empty answer)");
    raw.onclick = () => {
      const on = raw.getAttribute("aria-pressed") !== "true";
      raw.setAttribute("aria-pressed", String(on));
      const next = on ? make("pre", "raw", text) : markdown(text);
      body.replaceWith(next);
      body = next;
      highlight();
    };
    box.append(body);
    if (given[1][turn]) box.append(make("p", "warn", "Cut off at the token limit."));
  }
  for (const [who, where, reason, excerpt] of detail.flags) {
    if (who === model && where === turn + 1) box.append(make("p", "warn", `Speaks to the judge: ${reason} (“${excerpt}”)`));
  }
  if (outcomes.length) box.append(make("div", "verdicts", ...outcomes.map(verdict)));
  return box;
}

function verdict([judge, , models, scores, contradiction, asked]) {
  const box = make("div", "verdict");
  const head = make("p", "", make("span", "judge", state.index.judges[judge] || "judge"), " ", make("b", "", words(models, scores)));
  if (contradiction) head.append(" ", make("span", "badge", "the order changed its mind"));
  box.append(head);
  for (const [shown, own, text, failure] of asked) {
    const summary = make("summary");
    if (shown.length === 2) {
      summary.append(...["first ", name(shown[0]), ", second ", name(shown[1]), ": "]);
    }
    summary.append(failure ? `no reply (${failure})` : own ? (shown.length === 2 ? words(shown, own) : "what the judge said") : "no verdict in the reply");
    box.append(text ? make("details", own ? "" : "bad", summary, make("pre", "raw", text)) : make("p", "warn", ...summary.childNodes));
  }
  return box;
}

const name = (model) => make("span", model === state.a ? "in-a" : model === state.b ? "in-b" : "", state.index.models[model]);

function words(models, scores) {
  const { mode, models: labels } = state.index;
  if (!scores) return "no verdict";
  if (models.length === 1) return `${shownScore(scores[0])} of 10`;
  if (mode === "vicuna") return models.map((model, place) => `${labels[model]} ${shownScore(scores[place])}`).join(" · ");
  if (scores[0] === scores[1]) return "a tie";
  const best = scores[0] > scores[1] ? 0 : 1;
  return scores[best] === 1 ? `${labels[models[best]]} wins` : `${labels[models[best]]} preferred, ${shownScore(scores[best])}`;
}

/* ---- moving about ---- */

function order() {
  const { models, ranked } = state.index;
  const places = ranked.map((label) => models.indexOf(label));
  return [...places, ...models.keys()].filter((place, at, all) => place >= 0 && all.indexOf(place) === at);
}

function choose(a, b) {
  Object.assign(state, { a, b });
  find("model-a").value = a;
  find("model-b").value = b;
  const { models } = state.index;
  find("outcome").querySelector('[value="is-a"]').textContent = `better: A, ${models[a]}`;
  find("outcome").querySelector('[value="is-b"]').textContent = `better: B, ${models[b]}`;
  refreshChips();
  filter();
  if (state.current >= 0) open(state.current, { address: false });
}

function move(by) {
  if (!state.shown.length) return;
  const at = state.shown.indexOf(state.current);
  const next = at < 0 ? 0 : Math.min(state.shown.length - 1, Math.max(0, at + by));
  open(state.shown[next], { focus: find("list").contains(document.activeElement) });
}

function fromAddress() {
  if (!location.hash.startsWith("#q=")) return false;
  let id;
  try {
    id = decodeURIComponent(location.hash.slice(3));
  } catch {
    return false;
  }
  const place = state.index.questions.findIndex((question) => question.id === id);
  if (place < 0) return false;
  clear();
  open(place, { address: false });
  find(narrow() ? "detail" : "questions").scrollIntoView();
  return true;
}

function clear() {
  if (!find("search").value && !find("category").value && !find("outcome").value) return;
  for (const id of ["search", "category", "outcome"]) find(id).value = "";
  state.words = [];
  filter();
}

function keys(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target.id === "search") {
    clear();
    event.target.blur();
  } else if (event.key === "Enter" && event.target.id === "search" && state.shown.length) {
    open(state.shown[0], { focus: true });
  } else if (typing) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    find("questions").scrollIntoView({ block: "nearest" });
    find("search").focus();
  } else if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  } else if (find("list").contains(event.target) && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  }
}

function controls() {
  const { models, questions, baseline, ranked } = state.index;
  for (const id of ["model-a", "model-b"]) {
    find(id).append(...order().map((model) => new Option(models[model], model)));
    find(id).onchange = () => choose(Number(find("model-a").value), Number(find("model-b").value));
  }
  for (const option of find("outcome").querySelectorAll('[value^="has-"]')) {
    const count = questions.filter((question) => question.issues.includes(option.value.slice(4))).length;
    if (count) option.textContent += ` (${count})`;
    else option.remove();
  }
  if (models.length === 1) for (const option of find("outcome").querySelectorAll('[value^="is-"]')) option.remove();
  find("versus").hidden = models.length === 1;
  const categories = [...new Set(questions.map((question) => question.category))];
  find("category").append(...categories.map((text) => new Option(text, text)));
  find("category").onchange = find("outcome").onchange = filter;
  let waiting;
  find("search").oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 120);
  };
  find("clear").onclick = clear;
  const best = ranked.map((label) => models.indexOf(label)).filter((model) => models[model] !== baseline);
  state.a = best[0] ?? 0;
  state.b = baseline ? models.indexOf(baseline) : best[1] ?? state.a;
}

async function start() {
  if (!window.DecompressionStream) {
    find("count").textContent = "This browser is too old to unpack the questions (it needs DecompressionStream, 2023).";
    return;
  }
  state.index = await unpack(find("index"));
  controls();
  state.rows = state.index.questions.map(row);
  find("list").append(...state.rows);
  find("list").onclick = (event) => {
    const item = event.target.closest("a.item");
    if (!item || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(Number(item.dataset.place), { focus: true });
    if (narrow()) find("detail").scrollIntoView();
  };
  document.addEventListener("keydown", keys);
  addEventListener("hashchange", fromAddress);
  if (state.a !== state.b) choose(state.a, state.b);
  else refreshChips(), filter();
  if (!fromAddress() && state.shown.length) await open(state.shown[0], { address: false });
  document.documentElement.dataset.ready = "true";
}

/* ---- the numbers above ---- */

for (const button of document.querySelectorAll(".legend button")) {
  button.onclick = () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    const series = button.closest(".board").querySelector(`[data-series="${button.value}"]`);
    series.classList.toggle("off", !on);
  };
}
const boards = find("board");
if (boards) {
  boards.onchange = () => {
    for (const box of document.querySelectorAll(".board")) box.hidden = box.dataset.board !== boards.value;
  };
}
start();
