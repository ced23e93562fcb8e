// Markdown to DOM nodes: CommonMark's common part and tables. Safe by construction, whatever a model wrote: it only
// calls createElement with the names below and adds text as text. No HTML, no pictures, links to the web and to mail
// only. Every pattern is linear, and nesting has an end, so that no text can hang the page. It is no library, since
// those make strings of HTML, which a second library must then make safe. The tests compare it with markdown-it.
"use strict";

const DEEPEST = 12; // levels of lists and quotes; deeper ones stay text
const FARTHEST = 200; // delimiters that a closing one looks back
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})([ \t].*)?$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;
const QUOTE = /^ {0,3}> ?/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const UNDERLINE = /^ {0,3}(=+|-+) *$/;
const DELIMITER_ROW = /^[ |:-]*-[ |:-]*$/;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function markdown(text) {
  const box = make("div", "text");
  box.append(...blocks(text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0));
  return box;
}

function blocks(lines, depth) {
  const nodes = [];
  for (let at = 0; at < lines.length; ) at = block(lines, at, depth, nodes);
  return nodes;
}

// Add the block that begins at a line, if one does; returns the line after it.
function block(lines, at, depth, nodes) {
  const line = lines[at];
  let found;
  if (!line.trim()) return at + 1;
  if (line.startsWith("    ")) {
    const end = runEnd(lines, at, (next) => !next.trim() || next.startsWith("    "));
    const code = lines.slice(at, end).map((next) => next.slice(4));
    nodes.push(make("pre", "", make("code", "", code.join("\n").replace(/\n+$/, ""))));
    return end;
  }
  if ((found = FENCE.exec(line))) return fence(lines, at, found, nodes);
  if ((found = HEADING.exec(line))) {
    nodes.push(make("h" + Math.min(6, found[1].length + 2), "", ...inline(untagged(found[2] || ""))));
    return at + 1;
  }
  if (RULE.test(line)) {
    nodes.push(make("hr"));
    return at + 1;
  }
  if (depth < DEEPEST && QUOTE.test(line)) {
    const end = runEnd(lines, at, (next, before) => QUOTE.test(next) || (before.trim() && plain(next)));
    const quoted = lines.slice(at, end).map((next) => next.replace(QUOTE, ""));
    nodes.push(make("blockquote", "", ...blocks(quoted, depth + 1)));
    return end;
  }
  if (depth < DEEPEST && (found = ITEM.exec(line))) return list(lines, at, found, nodes, depth);
  if (line.includes("|") && at + 1 < lines.length && isTable(line, lines[at + 1])) return table(lines, at, nodes);
  return paragraph(lines, at, nodes);
}

function runEnd(lines, start, belongs) {
  let end = start + 1;
  while (end < lines.length && belongs(lines[end], lines[end - 1])) end++;
  return end;
}

// A line that begins no block, and so continues a paragraph.
function plain(line) {
  if (!line.trim() || FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)) return false;
  const item = ITEM.exec(line);
  return !item || item[0].length === line.length || (/\d/.test(item[2]) && parseInt(item[2]) !== 1);
}

// A heading's text without the closing #s.
function untagged(text) {
  let end = text.trimEnd().length;
  while (end > 0 && text[end - 1] === "#") end--;
  return (end === 0 || text[end - 1] === " " ? text.slice(0, end) : text).trim();
}

function fence(lines, start, found, nodes) {
  const mark = found[1];
  const indent = lines[start].search(/\S/);
  let end = start + 1;
  const closes = (line) => {
    const text = line.trim();
    return text.length >= mark.length && text === mark[0].repeat(text.length) && line.search(/\S/) < 4;
  };
  while (end < lines.length && !closes(lines[end])) end++;
  const code = lines.slice(start + 1, end).map((line) => line.slice(Math.min(indent, Math.max(0, line.search(/\S/)))));
  const block = make("pre", "", make("code", "", code.join("\n")));
  if (found[2].trim()) block.dataset.language = found[2].trim().split(" ")[0].slice(0, 20);
  nodes.push(block);
  return end + 1;
}

function list(lines, start, first, nodes, depth) {
  const ordered = /\d/.test(first[2]);
  const kind = first[2].slice(-1);
  const box = make(ordered ? "ol" : "ul");
  if (ordered && parseInt(first[2]) !== 1) box.start = parseInt(first[2]);
  const items = [];
  let at = start, loose = false, found = first;
  while (found && found[2].slice(-1) === kind && /\d/.test(found[2]) === ordered && !RULE.test(lines[at])) {
    const space = found[3].length >= 1 && found[3].length <= 4 ? found[3].length : 1;
    const width = found[1].length + found[2].length + space;
    const inside = (next, before) =>
      !next.trim() || next.search(/\S/) >= width || (before.trim() && !ITEM.test(next) && plain(next));
    let end = runEnd(lines, at, inside);
    while (end > at + 1 && !lines[end - 1].trim()) end--;
    const own = lines.slice(at, end).map((line, place) =>
      place === 0 ? line.slice(width) : line.slice(Math.min(width, Math.max(0, line.search(/\S/)))));
    items.push(own);
    at = end;
    let next = at;
    while (next < lines.length && !lines[next].trim()) next++;
    found = next < lines.length ? ITEM.exec(lines[next]) : null;
    const goesOn = found && found[2].slice(-1) === kind && /\d/.test(found[2]) === ordered;
    loose = loose || hasGap(own) || (goesOn && next > at);
    if (goesOn) at = next;
  }
  for (const own of items) {
    const item = make("li");
    for (const node of blocks(own, depth + 1)) {
      item.append(...(node.tagName === "P" && !loose ? node.childNodes : [node]));
    }
    box.append(item);
  }
  nodes.push(box);
  return at;
}

// Whether an item's lines have an empty one among them, outside of code.
function hasGap(lines) {
  let fenced = false;
  return lines.some((line, place) => {
    if (FENCE.test(line)) fenced = !fenced;
    return place > 0 && !fenced && !line.trim();
  });
}

function isTable(head, rule) {
  return rule.includes("|") && DELIMITER_ROW.test(rule) && cells(head).length === cells(rule).length;
}

function cells(line) {
  const parts = [];
  let text = line.trim(), part = "";
  if (text.startsWith("|")) text = text.slice(1);
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\" && text[at + 1] === "|") part += text[++at];
    else if (text[at] === "|") parts.push(part), (part = "");
    else part += text[at];
  }
  if (part.trim() || !text.endsWith("|")) parts.push(part);
  return parts.map((cell) => cell.trim());
}

function table(lines, start, nodes) {
  const side = (rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "end") : "");
  const sides = cells(lines[start + 1]).map(side);
  const end = runEnd(lines, start + 1, (next) => next.trim() && plain(next));
  const row = (line, tag) => {
    const given = cells(line);
    return make("tr", "", ...sides.map((side, place) => make(tag, side, ...inline(given[place] || ""))));
  };
  const body = lines.slice(start + 2, end).map((line) => row(line, "td"));
  const box = make("table", "", make("thead", "", row(lines[start], "th")), make("tbody", "", ...body));
  nodes.push(make("div", "scroll", box));
  return end;
}

function paragraph(lines, start, nodes) {
  let end = start + 1;
  while (end < lines.length && plain(lines[end]) && !UNDERLINE.test(lines[end])) {
    if (lines[end].includes("|") && end + 1 < lines.length && isTable(lines[end], lines[end + 1])) break;
    end++;
  }
  const text = lines.slice(start, end).map((line) => line.trimStart()).join("\n").trimEnd();
  const under = end < lines.length && UNDERLINE.exec(lines[end]);
  nodes.push(make(under ? (under[1][0] === "=" ? "h3" : "h4") : "p", "", ...inline(text)));
  return under ? end + 1 : end;
}

// Text with emphasis, code, links; one pass, then the delimiters are paired as CommonMark does it.
function inline(text, inLink = false) {
  const parts = [];
  const without = new Set(); // lengths of backtick runs that are never closed
  let plainText = "";
  const flush = () => {
    if (plainText) parts.push(document.createTextNode(plainText));
    plainText = "";
  };
  let at = 0;
  while (at < text.length) {
    const letter = text[at];
    let found = null;
    if (letter === "\\" && at + 1 < text.length && /[!-/:-@[-`{-~]/.test(text[at + 1])) {
      plainText += text[at + 1];
      at += 2;
      continue;
    }
    if (letter === "\n") {
      plainText = plainText.replace(/ {1,}$/, "").replace(/\\$/, "");
      found = [make("br"), at + 1];
    } else if (letter === "`") found = codeSpan(text, at, without);
    else if (letter === "[" || (letter === "!" && text[at + 1] === "[")) found = link(text, at, inLink);
    else if (letter === "<" || letter === "h") found = inLink ? null : bareLink(text, at);
    else if (letter === "*" || letter === "_" || letter === "~") found = delimiter(text, at);
    if (found) {
      flush();
      parts.push(found[0]);
      at = found[1];
    } else {
      plainText += letter;
      at++;
    }
  }
  flush();
  return paired(parts);
}

function codeSpan(text, at, without) {
  let length = 1;
  while (text[at + length] === "`") length++;
  const mark = "`".repeat(length);
  if (!without.has(length)) {
    let end = text.indexOf(mark, at + length);
    while (end >= 0 && (text[end + length] === "`" || text[end - 1] === "`")) {
      while (text[end] === "`") end++;
      end = text.indexOf(mark, end);
    }
    if (end >= 0) {
      let code = text.slice(at + length, end).replace(/\n/g, " ");
      if (code.trim() && code.startsWith(" ") && code.endsWith(" ")) code = code.slice(1, -1);
      return [make("code", "", code), end + length];
    }
    without.add(length);
  }
  return [document.createTextNode(mark), at + length];
}

function link(text, at, inLink) {
  const picture = text[at] === "!";
  const start = at + (picture ? 2 : 1);
  let depth = 1, end = start;
  const limit = Math.min(text.length, start + 1000);
  while (end < limit) {
    if (text[end] === "\\") end++;
    else if (text[end] === "[") depth++;
    else if (text[end] === "]" && --depth === 0) break;
    end++;
  }
  if (end >= limit || text[end + 1] !== "(") return null;
  const close = target(text, end + 2);
  if (close < 0) return null;
  const words = text.slice(start, end);
  if (picture) return [make("span", "picture", `[picture: ${words || "no description"}]`), close + 1];
  const address = safe(text.slice(end + 2, close).trim().split(/\s+["'(]/, 1)[0].replace(/^<|>$/g, ""));
  if (inLink || !address) return [make("span", inLink ? "" : "unlinked", ...inline(words, true)), close + 1];
  return [anchor(address, inline(words, true)), close + 1];
}

// Where a link's address ends: parentheses in it must pair.
function target(text, start) {
  let depth = 1;
  for (let end = start; end < Math.min(text.length, start + 2000); end++) {
    if (text[end] === "(") depth++;
    else if (text[end] === ")" && --depth === 0) return end;
    else if (text[end] === "\n") return -1;
  }
  return -1;
}

function bareLink(text, at) {
  const angle = text[at] === "<" ? 1 : 0;
  if (!text.startsWith("http", at + angle) || (!angle && /\w/.test(text[at - 1] || ""))) return null;
  const pattern = /https?:\/\/[^\s<>"'`\]*]+/y;
  pattern.lastIndex = at + angle;
  let address = (pattern.exec(text) || [""])[0];
  if (angle ? text[at + 1 + address.length] !== ">" : false) return null;
  if (!angle) address = address.slice(0, address.length - trailing(address));
  const checked = safe(address);
  return checked ? [anchor(checked, [address]), at + address.length + 2 * angle] : null;
}

// Punctuation at the end that belongs to the sentence, not to the address.
function trailing(address) {
  let end = address.length;
  const marks = address.includes("(") ? ".,;:!?" : ".,;:!?)";
  while (end > 0 && marks.includes(address[end - 1])) end--;
  return address.length - end;
}

function safe(address) {
  try {
    const parsed = new URL(address);
    return ["http:", "https:", "mailto:"].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

function anchor(address, children) {
  const element = make("a", "", ...children);
  element.href = address;
  element.rel = "noopener noreferrer nofollow";
  element.target = "_blank";
  return element;
}

function delimiter(text, at) {
  const letter = text[at];
  let length = 1;
  while (text[at + length] === letter) length++;
  const before = text[at - 1] || " ", after = text[at + length] || " ";
  const space = /\s/, mark = /[\p{P}\p{S}]/u;
  const opens = !space.test(after) && (!mark.test(after) || space.test(before) || mark.test(before));
  const closes = !space.test(before) && (!mark.test(before) || space.test(after) || mark.test(after));
  const part = { letter, length, opens, closes };
  if (letter === "_") {
    part.opens = opens && (!closes || mark.test(before));
    part.closes = closes && (!opens || mark.test(after));
  }
  if (letter === "~" && length !== 2) part.opens = part.closes = false;
  return [part, at + length];
}

function paired(parts) {
  const nodes = []; // DOM nodes and delimiters still open
  for (const part of parts) {
    if (part instanceof Node || !part.closes) {
      nodes.push(part);
      continue;
    }
    for (let back = nodes.length - 1, looked = 0; back >= 0 && part.length > 0 && looked < FARTHEST; back--) {
      const opener = nodes[back];
      if (opener instanceof Node) continue;
      looked++;
      if (opener.letter !== part.letter || !opener.opens || !opener.length) continue;
      if ((opener.closes || part.opens) && (opener.length + part.length) % 3 === 0 && opener.length % 3) continue;
      const strong = opener.length >= 2 && part.length >= 2;
      const inner = nodes.splice(back + 1).map(asNode);
      const tag = part.letter === "~" ? "s" : strong ? "strong" : "em";
      nodes.push(make(tag, "", ...inner));
      opener.length -= strong ? 2 : 1;
      part.length -= strong ? 2 : 1;
      if (opener.length > 0) back++; // the rest of the same delimiter may pair again
      else nodes.splice(back, 1);
    }
    if (part.length > 0) nodes.push(part);
  }
  return nodes.map(asNode);
}

function asNode(part) {
  return part instanceof Node ? part : document.createTextNode(part.letter.repeat(part.length));
}
