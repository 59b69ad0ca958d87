"use strict";
// The ring: a row a rank, a column a chunk; arrows go from a rank's chunk to that of the next rank.

const CELL = { wide: 0, high: 30, gap: 34, left: 74, top: 26 };
const TITLES = { none: "all goes well", dies: "a rank dies", silent: "a rank is silent" };
const view = { run: 0, step: 0, timer: 0 };
let ring;

function startRing(data) {
  ring = data;
  CELL.wide = 16 * data.ranks + 14;
  data.runs.forEach((run, at) => byId("runs").append(
    button(TITLES[run.fault ? run.fault.kind : "none"], () => showRun(at), { class: "tab" })));
  byId("next").addEventListener("click", () => go(view.step + 1));
  byId("back").addEventListener("click", () => go(view.step - 1));
  byId("play").addEventListener("click", play);
  byId("slider").addEventListener("input", (event) => go(Number(event.target.value)));
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "slider" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight") go(view.step + 1);
    if (event.key === "ArrowLeft") go(view.step - 1);
  });
  byId("ring").hidden = false;
  fromAddress();
  window.addEventListener("hashchange", fromAddress);
  document.documentElement.dataset.ready = "yes";
}

// #run=1&step=3
function fromAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  showRun(Math.min(ring.runs.length - 1, Math.max(0, Number(said.get("run")) || 0)), Number(said.get("step")) || 0);
}

function steps() {
  return Math.max(...ring.runs[view.run].moves.map((moves) => moves.length));
}

function showRun(number, step) {
  view.run = number;
  [...byId("runs").children].forEach((tab, at) => tab.setAttribute("aria-pressed", String(at === number)));
  const run = ring.runs[number];
  byId("slider").max = steps();
  byId("verdict").textContent = run.verdict;
  fill(byId("said"), run.said.map((text, rank) => make("li", {}, make("b", {}, `rank ${rank}`), ` ${text.replace(/^rank \d+: /, "") || "has ended as it should"}`)));
  go(step || 0);
}

function go(step) {
  view.step = Math.min(steps(), Math.max(0, step));
  byId("slider").value = view.step;
  byId("back").disabled = view.step === 0;
  byId("next").disabled = view.step === steps();
  if (view.step === steps() && view.timer) play();
  history.replaceState(null, "", `#run=${view.run}&step=${view.step}`);
  byId("where").textContent = words();
  showPicture();
  showSent();
  showBytes();
}

function play() {
  if (view.timer) {
    clearInterval(view.timer);
    view.timer = 0;
  } else {
    if (view.step === steps()) go(0);
    view.timer = setInterval(() => go(view.step + 1), 1200);
  }
  byId("play").setAttribute("aria-pressed", String(view.timer !== 0));
  byId("play").textContent = view.timer ? "pause" : "play";
}

function words() {
  if (!view.step) return `Before step 0: each rank has its own terms.`;
  const half = view.step <= ring.ranks - 1 ? "reduce-scatter: what arrives is added" : "allgather: what arrives replaces";
  return `Step ${view.step - 1} of 0 to ${steps() - 1}, ${half}.`;
}

// A rank's move in the step that is shown, if it came to that.
function moveOf(rank) {
  return view.step ? ring.runs[view.run].moves[rank][view.step - 1] : undefined;
}

function stateOf(rank) {
  const run = ring.runs[view.run];
  const done = run.moves[rank].slice(0, view.step);
  return done.length ? done[done.length - 1].state : run.start[rank];
}

// Whether a rank has ended before this step, with an error.
function isOut(rank) {
  const run = ring.runs[view.run];
  return Boolean(run.said[rank]) && view.step > 0 && (!moveOf(rank) || moveOf(rank).arrived < 0);
}

function corner(rank, chunk) {
  return [CELL.left + chunk * (CELL.wide + 14), CELL.top + rank * (CELL.high + CELL.gap)];
}

function showPicture() {
  const { ranks } = ring;
  const [wide, high] = corner(ranks, ranks);
  const cells = [], arrows = [];
  for (let rank = 0; rank < ranks; rank++) {
    const [, top] = corner(rank, 0);
    cells.push(draw("text", { x: 0, y: top + 19, class: isOut(rank) ? "rank out" : "rank" }, `rank ${rank}${isOut(rank) ? " ✕" : ""}`));
    stateOf(rank).forEach((terms, chunk) => cells.push(drawChunk(rank, chunk, terms)));
    const move = moveOf(rank);
    if (move) for (const sent of move.sent) arrows.push(...drawArrow(rank, sent));
  }
  const heads = Array.from({ length: ranks }, (_, chunk) =>
    draw("text", { x: corner(0, chunk)[0] + CELL.wide / 2, y: 14, class: "head" }, `chunk ${chunk}`));
  const point = draw("marker", { id: "tip", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, draw("path", { d: "M0 0 L8 4 L0 8 z" }));
  fill(byId("picture"), draw("svg", { viewBox: `0 0 ${wide} ${high}`, style: { "max-width": `${wide * 1.15}px` }, role: "img", "aria-label": byId("where").textContent },
    draw("defs", {}, point), heads, cells, arrows));
}

// A chunk: a place for each term, filled where it is inside.
function drawChunk(rank, chunk, terms) {
  const [x, y] = corner(rank, chunk);
  const move = moveOf(rank);
  const isGoing = move && move.sent.some((sent) => sent.chunk === chunk);
  const hasCome = cameFromLeft(rank, chunk);
  const whole = terms.length && terms.every((often) => often === 1);
  const frame = draw("rect", { x, y, width: CELL.wide, height: CELL.high, rx: 3, class: `chunk${whole ? " whole" : ""}${hasCome ? " come" : ""}${isGoing ? " going" : ""}` });
  if (!terms.length) return draw("g", {}, frame, draw("text", { x: x + CELL.wide / 2, y: y + 19, class: "head" }, "mixed"));
  const places = terms.map((often, term) => {
    const left = x + 7 + 16 * term;
    return [draw("rect", { x: left + 1, y: y + 7, width: 14, height: 16, rx: 2, class: often ? "term" : "no-term" }),
      often ? draw("text", { x: left + 8, y: y + 19, class: "digit" }, often > 1 ? `${often}·${term}` : String(term)) : ""];
  });
  return draw("g", {}, frame, places);
}

function leftOf(rank) {
  return (rank + ring.ranks - 1) % ring.ranks;
}

function cameFromLeft(rank, chunk) {
  const move = moveOf(rank), theirs = moveOf(leftOf(rank));
  return Boolean(move && move.arrived >= 0 && theirs && theirs.sent.some((sent) => sent.chunk === chunk));
}

// From the lower edge of a rank's chunk to the upper edge of the next rank's; from the last rank out of
// the picture, and into it again above rank 0.
function drawArrow(rank, sent) {
  const [x, y] = corner(rank, sent.chunk);
  const middle = x + CELL.wide / 2, low = y + CELL.high;
  const next = (rank + 1) % ring.ranks;
  const lost = !cameFromLeft(next, sent.chunk);
  const given = { class: `arrow${lost ? " lost" : ""}`, "marker-end": "url(#tip)" };
  const said = draw("text", { x: middle + 6, y: low + 21, class: "load" }, termsInWords(sent.terms));
  if (next) return [draw("line", { x1: middle, x2: middle, y1: low + 1, y2: low + CELL.gap - 2, ...given }), said];
  const top = corner(0, sent.chunk)[1];
  return [draw("line", { x1: middle, x2: middle, y1: low + 1, y2: low + 26, ...given }), said,
    draw("line", { x1: middle - 14, x2: middle - 14, y1: top - 7, y2: top - 1, ...given })];
}

function termsInWords(terms) {
  if (!terms.length) return "several sums";
  const parts = terms.map((often, rank) => (often ? `${often > 1 ? `${often} ` : ""}x${rank}` : "")).filter(Boolean);
  return parts.join(" + ") || "nothing";
}

function showSent() {
  const rows = [];
  for (let rank = 0; rank < ring.ranks; rank++) {
    const move = moveOf(rank);
    const next = (rank + 1) % ring.ranks;
    const sent = move ? move.sent : [];
    const what = sent.map((each) => `chunk ${each.chunk} to rank ${next}: ${termsInWords(each.terms)}`).join("; ");
    const lost = sent.length && !sent.every((each) => cameFromLeft(next, each.chunk)) ? ", which did not arrive" : "";
    const none = !view.step ? "nothing yet" : isOut(rank) ? "nothing: it has ended" : "nothing";
    rows.push(make("tr", {}, make("th", { scope: "row" }, `rank ${rank}`), make("td", {}, `sends ${what ? what + lost : none}`)));
  }
  fill(byId("sent"), make("tbody", {}, rows));
}

function showBytes() {
  const run = ring.runs[view.run];
  const bound = (2 * run.bytes * (ring.ranks - 1)) / ring.ranks;
  const rows = run.moves.map((moves, rank) => {
    const sent = moves.slice(0, view.step).flatMap((move) => move.sent).reduce((sum, each) => sum + each.bytes, 0);
    const bar = make("span", { class: "meter", style: { "--part": `${Math.min(100, (100 * sent) / bound)}%` } });
    return make("tr", {}, make("th", { scope: "row" }, `rank ${rank}`), make("td", {}, bar), make("td", { class: "figure" }, `${grouped(sent)} of ${grouped(bound)}`));
  });
  fill(byId("bytes"), make("caption", {}, `S = ${grouped(run.bytes)} bytes, P = ${ring.ranks}: 2 S (P − 1) / P = ${grouped(bound)}`), make("tbody", {}, rows));
}

whenUnpacked(startRing);
