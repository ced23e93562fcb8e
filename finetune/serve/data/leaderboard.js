// The leaderboard: models ranked by the votes on this server.
import { make, part } from "./dom.js";

const round = (value) => (value === null ? "–" : String(Math.round(value)));

async function load() {
  const key = part("key").value;
  const reply = await fetch("v1/leaderboard", { headers: key ? { Authorization: "Bearer " + key } : {} });
  if (reply.status === 401) {
    part("ask").hidden = false;
    part("key").focus();
  }
  if (!reply.ok) {
    const error = (await reply.json().catch(() => ({}))).error;
    throw new Error(error ? error.message : `HTTP ${reply.status}`);
  }
  part("ask").hidden = true;
  return reply.json();
}

function bar(rating, scale) {
  const at = (value) => `${(100 * (value - scale[0])) / (scale[1] - scale[0])}%`;
  const dot = make("b");
  dot.style.left = at(rating.mean);
  const box = make("span", "bar", dot);
  if (rating.low !== null) {
    const reach = make("i");
    reach.style.left = at(rating.low);
    reach.style.right = `calc(100% - ${at(rating.high)})`;
    box.prepend(reach);
  }
  box.setAttribute("aria-hidden", "true");
  return [box, make("small", "", rating.low === null ? "none from a single vote" : `${round(rating.low)} to ${round(rating.high)}`)];
}

function row(one, scale) {
  const head = make("th", "model", one.model);
  head.scope = "row";
  const made = make("tr", "", make("td", "rank", one.rank === null ? "–" : String(one.rank)), head,
    make("td", "rating", one.rating ? round(one.rating.mean) : "–"),
    make("td", "reach", ...(one.rating ? bar(one.rating, scale) : [])));
  for (const [name, count] of [["won", one.wins], ["tied", one.ties], ["lost", one.losses]]) {
    const cell = make("td", "counts", String(count));
    cell.dataset.name = name;
    made.append(cell);
  }
  return made;
}

function show(board) {
  const rated = board.rows.map((one) => one.rating).filter(Boolean);
  const ends = rated.flatMap((rating) => [rating.low ?? rating.mean, rating.high ?? rating.mean]);
  const middle = 1000, reach = Math.max(100, ...ends.map((value) => Math.abs(value - middle)));
  part("rows").replaceChildren(...board.rows.map((one) => row(one, [middle - reach, middle + reach])));
  part("table").hidden = !board.rows.length;
  part("folder").textContent = board.folder;
  part("more").hidden = !board.votes;
  const count = board.votes === 1 ? "1 vote" : `${board.votes.toLocaleString("en")} votes`;
  part("state").textContent = !board.votes ? "No votes yet: compare two answers on the chat page."
    : board.connected ? count
    : `${count}. There are no ratings yet: not all models have met each other, even through others.`;
}

async function refresh() {
  part("state").className = "";
  try {
    show(await load());
  } catch (error) {
    part("state").textContent = error.message;
    part("state").className = "error";
  }
  document.documentElement.dataset.ready = "yes";
}

part("refresh").addEventListener("click", refresh);
part("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  refresh();
});
refresh();
