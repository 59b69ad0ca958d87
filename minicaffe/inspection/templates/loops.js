"use strict";
// Above the instructions: the loops by depth, with what is in them.

const COUNTS = ["instructions", "vector", "multiply-add", "memory", "stack"];

function showLoops(form) {
  if (!form.loops.length) {
    fill(byId("loops"));
    return;
  }
  const head = make("tr", {}, make("th", { scope: "col" }, "loop"), COUNTS.map((name) => make("th", { scope: "col" }, name)));
  const rows = form.loops.flatMap((loop, at) => {
    const owner = ownerOf(form, loop), isFirst = !at || ownerOf(form, form.loops[at - 1]) !== owner;
    const title = isFirst && owner && form.functions.length > 1;
    return [title ? make("tr", { class: "owner" }, make("th", { scope: "rowgroup", colspan: 6 }, make("code", {}, owner.name))) : "", loopRow(form, loop)];
  });
  const deepest = Math.max(...form.loops.map((loop) => loop.depth));
  fill(byId("loops"), make("details", {},
    make("summary", {}, `${count(form.loops.length, "loop")}, nested up to ${deepest} deep`),
    make("div", { class: "pane" }, make("table", {}, make("thead", {}, head), make("tbody", {}, rows)))));
}

function ownerOf(form, loop) {
  return form.functions.find((each) => each.first <= loop.first && loop.first <= each.last);
}

function loopRow(form, loop) {
  const go = () => { const row = shownRows[loop.first]; reveal(row); row.focus({ preventScroll: true }); };
  const isInner = !form.loops.some((each) => each.parent === loop.number);
  const cell = make("th", { scope: "row", style: { "padding-left": `${loop.depth}em` } },
    button(`rows ${loop.first + 1}–${loop.last + 1}`, go, { class: "link" }));
  return make("tr", { class: isInner ? "inner" : "" }, cell,
    COUNTS.map((each) => make("td", {}, loop.counts[each] ? grouped(loop.counts[each]) : "·")));
}
