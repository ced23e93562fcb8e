// A block that is longer than a window is cut, and goes on in the next one. Lines join their code; the rest of a list, a
// quote or a paragraph becomes another one, close to the first; that of a table one with the columns of the first. What
// goes on is {before, into, end, whole}: lines to read the next ones with, the element that they go on from (or null),
// the line at which the block was cut, and whether that was the end of a line.
import { FENCE, ITEM, make } from "./markdown.js";

// How a block that fills all lines goes on, or null if it cannot be cut.
export function cutBlock(open, node, lines, whole) {
  const all = open ? [...open.before, ...lines] : lines;
  const cut = (before, into) => ({ before, into, end: lines.length, whole });
  const first = all.findIndex((line) => line.trim());
  if (node.tagName === "PRE") {
    chunk(node.firstChild, whole);
    return cut(FENCE.test(all[first]) ? [all[first]] : [], node);
  }
  if (node.className === "scroll") return cut(all.slice(first, first + 2), node);
  if (node.tagName === "P" || node.tagName === "BLOCKQUOTE") return cut([], null);
  if (node.tagName !== "UL" && node.tagName !== "OL") return null;
  const indent = lines[first].search(/\S/);
  const end = lines.findLastIndex((line) => ITEM.test(line) && line.search(/\S/) === indent);
  return end > first ? { ...cut([], null), end } : null;
}

// Add to an open block what its next lines have become; returns the added nodes, or null if they are a block of their own.
export function join({ into, whole }, node, cutAgain) {
  if (into.tagName !== node.tagName) return null;
  if (node.className === "scroll") {
    alignColumns(into, node.firstChild);
    node.classList.add("rest");
    return null;
  }
  if (!cutAgain) chunk(node.firstChild, false);
  const lines = node.firstChild.firstChild;
  return whole || !lines ? give(into.firstChild, node.firstChild) : give(into.firstChild.lastChild, lines);
}

function give(target, from) {
  const nodes = [...from.childNodes];
  target.append(...nodes);
  return nodes;
}

// Give a table the columns of the one that it goes on from.
function alignColumns(from, table) {
  const first = from.firstChild;
  if (!first.querySelector("colgroup")) {
    const widths = [...first.querySelectorAll("th")].map((cell) => cell.getBoundingClientRect().width);
    if (!widths.some(Boolean)) return; // it is not on the page
    const columns = widths.map((width) => {
      const column = make("col");
      column.style.width = `${width}px`;
      return column;
    });
    first.prepend(make("colgroup", "", ...columns));
    first.style.width = `${widths.reduce((sum, width) => sum + width)}px`;
    first.style.tableLayout = "fixed";
  }
  table.prepend(first.querySelector("colgroup").cloneNode(true));
  table.style.width = first.style.width;
  table.style.tableLayout = "fixed";
}

// Code in chunks of lines, so that those out of sight need not be laid out.
function chunk(code, whole) {
  const text = code.textContent + (whole ? "\n" : "");
  const lines = make("span", "lines", text);
  lines.style.setProperty("--lines", Math.max(1, text.split("\n").length - 1));
  code.replaceChildren(...(text ? [lines] : []));
}
