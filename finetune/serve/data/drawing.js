// When growing texts are drawn: a little in every frame, so that typing and scrolling never wait.
const BUDGET = 8; // milliseconds of a frame
const WINDOWS = 3; // of text in a frame, since the browser has to lay out what is drawn
const SLOW = 50; // milliseconds that the browser took to lay a frame out, after which it gets as long to rest

const waiting = new Set();
let asked = false;

// Have a text drawn up to where it has come; `over` once nothing more will come.
export function draw(growing, text, over) {
  if (!growing.update(text, over)) return;
  waiting.add(growing);
  if (!asked) requestAnimationFrame(frame);
  asked = true;
}

function frame() {
  const start = performance.now();
  for (let left = WINDOWS; left > 0 && waiting.size && performance.now() < start + BUDGET; left--) {
    const [growing] = waiting;
    growing.step();
    waiting.delete(growing);
    if (!growing.done) waiting.add(growing); // behind the others
  }
  const laidOut = performance.now();
  asked = waiting.size > 0;
  setTimeout(() => {
    const took = performance.now() - laidOut;
    if (!waiting.size) return;
    setTimeout(() => requestAnimationFrame(frame), took > SLOW ? took : 0);
  });
}
