"use strict";
// Above the instructions: the loops by depth, with what is in them.

const COUNTS = ["instructions", "vector", "multiply-add", "memory", "stack"];

function showLoops(form) {
  if (!form.loops.length) {
    fill(byId("loops"));
    return;
  }
  const head = make("tr", {}, make("th", { scope: "col" }, "loop"), COUNTS.map((name) => make("th", { scope: "col" }, name)));
  const rows = form.loops.map((loop) => loopRow(form, loop));
  const deepest = Math.max(...form.loops.map((loop) => loop.depth));
  fill(byId("loops"), make("details", {},
    make("summary", {}, `${count(form.loops.length, "loop")}, nested up to ${deepest} deep`),
    make("div", { class: "pane" }, make("table", {}, make("thead", {}, head), make("tbody", {}, rows)))));
}

function loopRow(form, loop) {
  const owner = form.functions.find((each) => each.first <= loop.first && loop.first <= each.last);
  const name = form.functions.length > 1 && owner ? `${owner.name} ` : "";
  const go = () => { const row = shownRows[loop.first]; reveal(row); row.focus(); };
  const isInner = !form.loops.some((each) => each.parent === loop.number);
  const cell = make("th", { scope: "row", style: { "padding-left": `${loop.depth - 1}em` } },
    button(`${name}rows ${loop.first + 1}–${loop.last + 1}`, go, { class: "link" }));
  return make("tr", { class: isInner ? "inner" : "" }, cell,
    COUNTS.map((each) => make("td", {}, loop.counts[each] ? grouped(loop.counts[each]) : "·")));
}
