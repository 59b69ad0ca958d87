"use strict";
// Puts the columns together, and keeps them at what is picked.

function say(text) {
  byId("note").textContent = text;
}

// What the third column shows, in a sentence.
function summary(data) {
  const listing = current();
  const note = listing && selection.row >= 0 && shownRows[selection.row] ? `${noteOf(data, selection.row)} · ` : "";
  return (note === " · " ? "" : note) + placeInWords(listing);
}

function placeInWords(listing) {
  if (!listing) return selection.layer || selection.group ? "Pick a kernel to see what it became." : "";
  if (!selection.line) return `Pick a line of Python, or an ${unit()}.`;
  const lit = byId("listing").querySelectorAll(".row.lit").length;
  return `Line ${selection.line} of ${selection.file || listing.file}: ${count(lit, unit())}.`;
}

function refresh(data, changed, isFromAddress) {
  const has = (...names) => names.some((name) => changed.has(name));
  byId("path").hidden = selection.view === "net";
  byId("net").hidden = selection.view !== "net";
  for (const tab of document.querySelectorAll("nav .tab"))
    tab.setAttribute("aria-pressed", String(tab.dataset.view === (selection.view || "path")));
  if (has("view") && selection.view === "net") showNet(data);
  if (has("layer", "group")) showSubject(data);
  const isSourceAlone = !current() && has("file");
  if (has("layer", "group", "kernel", "form") || isSourceAlone) showCode(data);
  markPrototxt();
  markKernels();
  const line = markSource(), lit = markListing(data);
  if (isFromAddress) for (const row of byId("path").querySelectorAll("#prototxt .picked, #layer .picked")) reveal(row);
  if (line && has("kernel", "form", "line", "file", "layer")) reveal(line);
  if (has("row") && selection.row >= 0 && shownRows[selection.row]) reveal(shownRows[selection.row]);
  else if (lit.length && has("line", "file", "kernel", "form")) reveal(innermost(lit));
  for (const pane of document.querySelectorAll(".rows")) reachable(pane);
  say(summary(data));
}

function showMade(made) {
  const said = [made.phase, made.device, made.vectors, count(made.threads, "thread"), made.processor,
    count(made.iterations, "iteration"), made.batch ? `batch ${made.batch}` : "", `minicaffe ${made.minicaffe}`];
  byId("made").textContent = said.filter(Boolean).join(" · ");
}

function start(data) {
  page = data;
  showMade(data.made);
  showPrototxt(data);
  whenSelected((changed, isFromAddress) => refresh(data, changed, isFromAddress));
  for (const tab of document.querySelectorAll("nav .tab"))
    tab.addEventListener("click", () => select({ view: tab.dataset.view === "net" ? "net" : "" }));
  listen(data);
  showSubject(data);
  showCode(data);
  refresh(data, new Set(), true);
  const follow = () => selectFromAddress((wanted, name) => findKernel(data, wanted, name));
  window.addEventListener("hashchange", follow);
  follow();
  document.documentElement.dataset.ready = "yes";
}

whenUnpacked(start);
