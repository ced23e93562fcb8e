// What pages share that have a list, searched and filtered, and one entry opened from it. The index is unpacked at the
// start, the entries block by block when they are needed. A page has its elements #search, #count, #list (of links
// a.item, each with its place among all entries as data-place), #detail and #clear, and in its own script:
//
// - filter(): what is shown, by the words that are searched and the filters; puts places into state.shown;
// - TYPED, CHOSEN: the ids of its fields and selects that clear with the search;
// - allTexts(): of each entry all texts in lower case, for the search;
// - show(place, { keepAddress, focus }): opens an entry; fromAddress(): does what the address says, if it says anything.

const find = (id) => document.getElementById(id);
const narrow = () => matchMedia("(max-width: 56rem)").matches; // the list is above the entry, as in the style sheets
const HIGHLIGHTS = 2000; // marks of searched words at most; more than a reader looks at
const PAUSE = 150; // milliseconds without a key after which what was typed is looked for

const state = {
  index: null, // what is unpacked at the start
  shown: [], // places of the entries that fit, in the chosen order
  current: -1, // place of the opened one
  blocks: new Map(), // promises of unpacked blocks by number
  texts: null, // of each entry all texts in lower case, once a search needs them
  words: [], // searched words
};

function unpackedBlock(number) {
  if (!state.blocks.has(number)) state.blocks.set(number, unpack(find(`block-${number}`)));
  return state.blocks.get(number);
}

/* ---- search ---- */

async function search() {
  state.words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  filter();
  if (state.words.length && !state.texts) {
    state.texts = await (state.searching ||= allTexts());
    filter();
  }
  highlight();
}

// Mark the searched words in the opened entry, without touching its nodes.
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

function clearFilters() {
  for (const id of TYPED) find(id).value = "";
  for (const id of CHOSEN) find(id).selectedIndex = 0;
  state.words = [];
  filter();
  highlight();
}

// The same, once nothing was typed for a while.
function later(run) {
  let waiting;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(run, PAUSE);
  };
}

/* ---- the list ---- */

// The opened entry is marked, and is the one place where Tab enters the list.
function markCurrent() {
  const rows = [...find("list").querySelectorAll("a.item")];
  for (const item of rows) {
    const current = Number(item.dataset.place) === state.current;
    if (current) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
    item.tabIndex = current ? 0 : -1;
  }
  const seen = rows.filter((item) => !item.hidden);
  if (seen.length && seen.every((item) => item.tabIndex < 0)) seen[0].tabIndex = 0;
}

// Scroll the list, not the page.
function reveal(item) {
  const box = find("list");
  if (item.offsetTop < box.scrollTop) box.scrollTop = item.offsetTop - 8;
  const low = item.offsetTop + item.offsetHeight - box.clientHeight;
  if (low > box.scrollTop) box.scrollTop = low + 8;
}

function openFromList(event) {
  const item = event.target.closest("a.item");
  if (!item || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(Number(item.dataset.place), { focus: true });
  if (narrow()) find("detail").scrollIntoView();
}

function move(by) {
  if (!state.shown.length) return;
  const at = state.shown.indexOf(state.current);
  const next = at < 0 ? 0 : Math.min(state.shown.length - 1, Math.max(0, at + by));
  show(state.shown[next], { focus: find("list").contains(document.activeElement) });
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
    find("search").closest("section")?.scrollIntoView({ block: "nearest" });
    find("search").focus();
  } else if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  } else if (find("list").contains(event.target) && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  }
}

/* ---- the opened entry ---- */

// `keep` names the button, so that it has the keyboard's focus again after another entry was put in its place.
function button(className, text, onclick, { label = "", keep = "" } = {}) {
  const made = make("button", className, text);
  made.type = "button";
  if (keep) made.dataset.keep = keep;
  if (label) {
    made.title = label;
    made.setAttribute("aria-label", label);
  }
  made.onclick = onclick;
  return made;
}

// Buttons to the entries before and after the opened one.
function steps(what) {
  return [
    button("step", "←", () => move(-1), { label: `Previous ${what} (k)`, keep: "previous" }),
    button("step", "→", () => move(1), { label: `Next ${what} (j)`, keep: "next" }),
  ];
}

// Put an entry's nodes on the page; `again` if it is the one that was there.
function putDetail(nodes, again) {
  const box = find("detail");
  const kept = box.contains(document.activeElement) && document.activeElement.dataset.keep;
  box.replaceChildren(...nodes);
  if (!again) box.scrollTop = 0;
  if (kept) box.querySelector(`[data-keep="${kept}"]`)?.focus({ preventScroll: true });
  highlight();
}

/* ---- the start ---- */

// `prepare` fills the page's own controls and its list, as the index is unpacked.
async function start(prepare) {
  if (!window.DecompressionStream) {
    find("count").textContent = "This browser is too old to unpack the texts (it needs DecompressionStream, 2023).";
    return;
  }
  state.index = await unpack(find("index"));
  find("search").oninput = later(search);
  find("clear").onclick = clearFilters;
  find("list").onclick = openFromList;
  prepare();
  document.addEventListener("keydown", keys);
  addEventListener("hashchange", fromAddress);
  if (!(await fromAddress()) && state.shown.length) await show(state.shown[0], { keepAddress: true });
  document.documentElement.dataset.ready = "true";
}
