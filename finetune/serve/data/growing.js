// Markdown that grows: only its open end is drawn anew. What can no longer change is drawn once, in windows of some
// thousand characters, as many in a frame as there is time for; so no answer is too long for the page.
import { split, windowSize } from "./windows.js";
import { cutBlock, join } from "./long_blocks.js";
import { block, make } from "./markdown.js";

const WINDOW = 8000; // characters that are drawn at once
const LONGEST = 8 * WINDOW; // of a block that cannot be cut
const SETTLED = 3; // lines of a block that must have come before what stands above it is over
const CROWD = 12000; // characters that the browser lays out together, or leaves out while they are out of sight

export class Growing {
  // `onFinal` hears of every node that will not change any more.
  constructor(onFinal = null) {
    this.element = make("div", "text box");
    this.onFinal = onFinal;
    this.reset();
  }

  reset() {
    this.element.replaceChildren();
    this.text = "";
    this.over = false; // whether the text has come to its end
    this.drawn = 0; // characters that are final
    this.tail = []; // nodes that are not
    this.open = null; // a block that goes on in the next window, see long_blocks.js
    this.window = WINDOW;
    this.place = this.element; // where blocks go
    this.held = 0; // characters there
    this.level = 2; // of the last heading; that of the whole answer is 2
    this.done = true;
  }

  // The text so far; whether that is news.
  update(text, over) {
    if (!text.startsWith(this.text)) this.reset();
    if (text.length === this.text.length && over === this.over) return !this.done;
    this.text = text;
    this.over = over;
    this.done = false;
    return true;
  }

  // Draw one window.
  step() {
    const size = windowSize(this.text, this.drawn, this.window);
    const last = this.drawn + size === this.text.length;
    const raw = this.text.slice(this.drawn, this.drawn + size);
    const { lines, ends } = split(raw, last);
    let found = parse(this.open, lines);
    let final = last && this.over ? found.length : settled(found, lines.length);
    let end = final < found.length ? Math.max(0, found[final].start) : lines.length;
    let goesOn = null;
    if (!last && end === 0) {
      goesOn = found.length === 1 ? cutBlock(this.open, found[0].node, lines, raw.endsWith("\n")) : null;
      if (!goesOn && this.window < LONGEST) {
        this.window *= 2;
        return;
      }
      final = found.length;
      end = goesOn ? goesOn.end : lines.length;
      if (end < lines.length) found = parse(this.open, lines.slice(0, end));
    }
    this.put(found, final, goesOn);
    const before = this.drawn;
    this.drawn += end < lines.length ? (end ? ends[end - 1] : 0) : size;
    this.held += this.drawn - before;
    this.window = WINDOW;
    this.done = last;
  }

  put(found, final, goesOn) {
    for (const node of this.tail) node.remove();
    this.tail = [];
    let { level } = this;
    found.forEach(({ node, start }, place) => {
      level = rank(node, level);
      if (place < final) this.level = level;
      const joined = this.open && place === 0 && start <= 0 && join(this.open, node, goesOn);
      if (!joined) this.add(node);
      const nodes = joined || [node];
      if (place >= final) this.tail.push(...nodes);
      else if (this.onFinal) nodes.forEach(this.onFinal);
      if (place < final) this.open = goesOn && goesOn.into && { ...goesOn, into: joined ? this.open.into : node };
      if (goesOn && !joined && node.tagName !== "PRE") node.classList.add("cut");
    });
  }

  add(node) {
    if (this.held >= CROWD) {
      this.place = make("div", "part");
      this.held = 0;
      this.element.append(this.place);
    }
    this.place.append(node);
  }
}

// Headings go down by one level at a time, however they were written; returns the level that a node leaves behind.
function rank(node, before) {
  const own = /^H([3-6])$/.exec(node.tagName);
  if (!own) return before;
  const level = Math.min(Number(own[1]), before + 1);
  if (level !== Number(own[1])) node.setAttribute("aria-level", level);
  return level;
}

// The blocks of some lines, each with the line where it starts; a block that went on from before starts above them.
function parse(open, lines) {
  const before = open ? open.before : [];
  const all = [...before, ...lines];
  const found = [];
  for (let at = 0; at < all.length; ) {
    const nodes = [];
    const start = at - before.length;
    at = block(all, at, 0, nodes);
    if (nodes.length) found.push({ start, node: nodes[0] });
  }
  return found;
}

// How many blocks are over: those before the last one that is well under way.
function settled(found, count) {
  for (let place = found.length - 1; place > 0; place--) if (found[place].start <= count - SETTLED) return place;
  return 0;
}
