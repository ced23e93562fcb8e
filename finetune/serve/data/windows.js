// Pieces of a long text that are drawn one after the other.

// How many characters to draw from `from` on: to the end of a line if there is one, else to a space.
export function windowSize(text, from, most) {
  if (text.length - from <= most) return text.length - from;
  const line = text.lastIndexOf("\n", from + most - 1);
  if (line >= from) return line + 1 - from;
  const space = text.lastIndexOf(" ", from + most - 1);
  if (space > from) return space + 1 - from;
  return /[\uD800-\uDBFF]/.test(text[from + most - 1]) ? most - 1 : most;
}

// Lines as the renderer reads them, and where each ends in the text, its line break included. The last line of a text
// that still grows may be only begun.
export function split(text, last) {
  const lines = [], ends = [];
  const breaks = /\r\n?|\n/g;
  let from = 0;
  for (let found = breaks.exec(text); found; found = breaks.exec(text)) {
    lines.push(text.slice(from, found.index).replace(/\t/g, "    "));
    from = breaks.lastIndex;
    ends.push(from);
  }
  if (last || from < text.length) {
    lines.push(text.slice(from).replace(/\t/g, "    "));
    ends.push(text.length);
  }
  return { lines, ends };
}
