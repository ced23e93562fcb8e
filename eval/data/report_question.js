// One opened question as DOM nodes: its turns, the two chosen models' answers side by side, and every judge's verdicts
// with the raw replies. What the lists in the data hold, and in which order, is written down in eval/report/page_data.py.

// A score as the list and the verdicts show it: a grade, or a share (of the win, of what is right) in percent.
function shownScore(score) {
  if (score == null) return "–";
  if (!state.index.mode.shares) return String(Math.round(score * 100) / 100);
  return `${Math.round(score * 100)}%`;
}

// A model's name in the colour of its side.
function modelName(model) {
  return make("span", model === state.a ? "in-a" : model === state.b ? "in-b" : "", state.index.models[model]);
}

// The bar on top that stays in view, and below it every model's score on this question.
function questionHeader(question) {
  const link = make("a", "permalink", question.id);
  link.href = address(question);
  link.title = "A link to this question and these two models";
  const beside = make("span", "steps", ...steps("question"));
  const head = make("header", "opened", make("h3", "", link, make("span", "category", question.category)), beside);
  return state.index.models.length > 2 ? [head, scoreStrip(question)] : [head];
}

// Every model's score on this question; a click shows that model's answer on the right.
function scoreStrip(question) {
  const box = make("div", "strip");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Scores on this question; choose one to compare");
  for (const model of modelOrder()) {
    const side = model === state.a ? "a" : model === state.b ? "b" : "";
    const select = () => model !== state.a && choose(state.a, model);
    const choice = button(side, state.index.models[model], select, { keep: `model-${model}` });
    choice.append(make("b", "", shownScore(question.scores[model])));
    choice.setAttribute("aria-pressed", String(side !== ""));
    box.append(choice);
  }
  return box;
}

// One turn, or one sample of a task, which is asked once for all. Verdicts on both models together stand below the
// answers; others stand below the answer they are about.
function exchange(detail, turn) {
  const several = detail.turns.length > 1;
  const { executed } = state.index.mode;
  const label = several && !executed ? `Question, turn ${turn + 1}` : "Question";
  const anew = turn === 0 || !executed;
  const nodes = anew ? [make("p", "label", label), make("div", "ask", reachable(markdown(detail.turns[turn])))] : [];
  if (anew && detail.references[turn] !== undefined) {
    const reference = reachable(markdown(detail.references[turn]));
    nodes.push(make("details", "reference", make("summary", "", "Reference answer"), reference));
  }
  if (several && executed) nodes.push(make("p", "label", `Sample ${turn + 1}`));
  const sides = state.a === state.b ? [state.a] : [state.a, state.b];
  const here = detail.outcomes.filter((outcome) => outcome[1] === turn + 1);
  const shownVerdict = (outcome) => verdict(outcome, detail);
  const together =
    sides.length === 2 ? here.filter(([, , models]) => sides.every((side) => models.includes(side))) : [];
  const columns = sides.map((model, place) => {
    const alone = together.length ? [] : here.filter(([, , models]) => models.includes(model));
    return answer(detail, turn, model, "ab"[place], alone);
  });
  nodes.push(make("div", sides.length === 1 ? "pair alone" : "pair", ...columns));
  if (together.length) nodes.push(make("div", "verdicts", make("p", "label", "Verdicts"), ...together.map(shownVerdict)));
  return nodes;
}

// One model's answer in one turn, as Markdown with a switch to the plain text, and what is wrong with it.
function answer(detail, turn, model, side, outcomes) {
  const [texts, cut, failure, words] = detail.answers[model] || [[], [], "there is none in the answer file", []];
  const text = texts[turn];
  const head = make("header", "", make("b", "", state.index.models[model]));
  const box = make("section", `answer ${side}`, head);
  if (text === undefined) {
    box.append(make("p", "warn", `No answer: ${failure || "this turn was not reached"}`));
  } else {
    const count = words[turn];
    const body = make("div", "", rendered(text));
    const raw = button("raw-switch", "plain text", () => {
      const on = raw.getAttribute("aria-pressed") !== "true";
      raw.setAttribute("aria-pressed", String(on));
      body.replaceChildren(on ? make("pre", "raw", text) : rendered(text));
      highlight();
    });
    raw.setAttribute("aria-pressed", "false");
    head.append(make("span", "", `${count.toLocaleString("en")} word${count === 1 ? "" : "s"}`), raw);
    box.append(body);
    if (cut[turn]) box.append(make("p", "warn", "Cut off at the token limit."));
  }
  for (const [who, where, reason, excerpt] of detail.flags) {
    if (who === model && where === turn + 1) {
      box.append(make("p", "warn", `Speaks to the judge: ${reason} (“${excerpt}”)`));
    }
  }
  if (outcomes.length) box.append(make("div", "verdicts", ...outcomes.map((outcome) => verdict(outcome, detail))));
  return box;
}

function rendered(text) {
  return text.trim() ? reachable(markdown(text)) : make("p", "warn", "(an empty answer)");
}

// Code that is wider than its box can be scrolled with the keyboard, too.
function reachable(box) {
  for (const code of box.querySelectorAll("pre")) code.tabIndex = 0;
  return box;
}

// What one judge decided, and below it each of its replies: one for every order in which it saw the two answers.
function verdict([judge, , models, scores, contradiction, replies], detail) {
  const head = make("p", "", make("span", "judge", state.index.judges[judge] || "judge"), " ");
  head.append(make("b", "", verdictWords(models, scores)));
  if (contradiction) head.append(" ", make("span", "badge", "changed with the order"));
  return make("div", "verdict", head, ...replies.flatMap((one) => reply(one, detail)));
}

function reply([shown, scores, text, failure, prompt], detail) {
  const summary = make("summary");
  if (shown.length === 2) summary.append("first ", modelName(shown[0]), ", second ", modelName(shown[1]), ": ");
  if (failure) summary.append(`no reply (${failure})`);
  else if (!scores) summary.append("no verdict in the reply");
  else summary.append(shown.length === 2 ? verdictWords(shown, scores) : "what the judge said");
  if (scores && state.index.mode.executed) return [make("p", "", text), ...(prompt ? [asked(prompt, detail)] : [])];
  const said = text
    ? make("details", scores ? "" : "bad", summary, make("pre", "raw", text))
    : make("p", "warn", ...summary.childNodes);
  return prompt ? [said, asked(prompt, detail)] : [said];
}

// What the judge was sent: the version of its instructions, the request's parameters, and every word. It is put together
// when it is opened, from the texts of the question (see eval/report/packed_prompts.py).
function asked([setting, parts], detail) {
  const [version, parameters, instructions] = state.index.settings[setting];
  const words = Object.entries(parameters).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const what = state.index.mode.executed ? "the program with its tests" : "what the judge was asked";
  const box = make("details", "", make("summary", "", `${what} (${[version, ...words].join(", ")})`));
  box.ontoggle = () => {
    if (box.childNodes.length > 1) return;
    const part = (piece) => {
      if (typeof piece === "string") return piece;
      const [kind, place, turn] = piece;
      return kind === "answers" ? detail.answers[place][0][turn] : detail[kind][place];
    };
    const texts = [instructions, parts.map(part).join("")].filter(Boolean);
    box.append(...texts.map((text) => make("pre", "raw", text)));
  };
  return box;
}

function verdictWords(models, scores) {
  const { mode, models: labels } = state.index;
  if (!scores) return "no verdict";
  if (mode.executed) return scores[0] === 1 ? "passed" : "did not pass";
  if (models.length === 1) return mode.shares ? shownScore(scores[0]) : `${shownScore(scores[0])} ${mode.unit}`;
  if (mode.verdict === "grades") {
    return models.map((model, place) => `${labels[model]} ${shownScore(scores[place])}`).join(" · ");
  }
  if (scores[0] === scores[1]) return "a tie";
  const best = scores[0] > scores[1] ? 0 : 1;
  if (scores[best] === 1) return `${labels[models[best]]} wins`;
  return `${labels[models[best]]} preferred, ${shownScore(scores[best])}`;
}
