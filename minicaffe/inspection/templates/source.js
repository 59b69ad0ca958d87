"use strict";
// The third column, left: Python. A line that became instructions has their number and their colour.

// Show a kernel's file, and of other files the functions that its instructions come from; without a
// listing the file alone. `counts`: how many instructions each "file line" has.
function showSource(data, listing, counts, hues) {
  const main = listing ? listing.file : selection.file || subjectFile(data);
  const parts = [];
  if (data.sources[main]) {
    const whole = [1, data.sources[main].length];
    parts.push(sourceRows(data, main, whole, listing, counts, hues));
  } else if (main) parts.push(make("p", { class: "hint" }, `The text of ${main} is not in this page.`));
  for (const file of filesOf(counts)) {
    if (file === main || !data.sources[file]) continue;
    for (const range of functionsAround(data, file, counts))
      parts.push(sourceRows(data, file, range, undefined, counts, hues));
  }
  fill(byId("source"), parts);
}

function subjectFile(data) {
  const layer = data.layers.find((each) => each.name === selection.layer);
  const group = data.fused_groups.find((each) => each.name === selection.group);
  return layer ? layer.file : group ? group.file : "";
}

function filesOf(counts) {
  return [...new Set([...counts.keys()].map((place) => place.slice(0, place.lastIndexOf(" "))))].filter(Boolean);
}

function sourceRows(data, file, [first, last], listing, counts, hues) {
  const rows = [];
  for (let line = first; line <= last; line++) {
    const place = `${file} ${line}`, found = counts.get(place);
    const isOutside = listing && (line < listing.first_line || line > listing.last_line) && !found;
    const inside = [make("span", { class: "number" }, String(line)), make("span", { class: "count" }, found ? String(found) : ""), make("code", {}, highlighted(data.sources[file][line - 1] || []))];
    const given = { class: `row${isOutside ? " outside" : ""}`, "data-place": place };
    if (found) {
      const said = count(found, unit());
      inside[1].title = said;
      Object.assign(given, { type: "button", tabindex: -1, style: { "--hue": hues.get(place) }, click: () => pickLine(file, line) });
    }
    given.class += found ? " coloured" : " plain";
    rows.push(make(found ? "button" : "div", given, inside));
  }
  return make("div", { class: "file-part" }, make("h3", { class: "file" }, file), rows);
}

function pickLine(file, line) {
  const listing = current();
  select({ file: listing && file === listing.file ? "" : file, line });
}

// First and last lines of the functions that hold a file's lines with instructions.
function functionsAround(data, file, counts) {
  const texts = data.sources[file].map((words) => words.filter((_, at) => at % 2).join(""));
  const lines = [...counts.keys()].filter((place) => place.startsWith(`${file} `))
    .map((place) => Number(place.slice(file.length + 1))).sort((one, other) => one - other);
  const ranges = [];
  for (const line of lines) {
    if (ranges.length && line <= ranges[ranges.length - 1][1]) continue;
    let first = line, last = line;
    while (first > 1 && !/^\s*(async )?def /.test(texts[first - 1])) first--;
    const depth = texts[first - 1].search(/\S/);
    while (last < texts.length && (last < first + 1 || /^\s*$/.test(texts[last]) || texts[last].search(/\S/) > depth || /^\s*\)/.test(texts[last]))) last++;
    while (last > line && /^\s*$/.test(texts[last - 1])) last--;
    while (first > 1 && /^\s*@/.test(texts[first - 2])) first--;
    ranges.push([first, last]);
  }
  return ranges;
}

function markSource() {
  const listing = current();
  const place = `${selection.file || (listing ? listing.file : "")} ${selection.line}`;
  let shown;
  for (const row of byId("source").querySelectorAll(".row")) {
    const isLit = selection.line > 0 && row.dataset.place === place;
    row.classList.toggle("lit", isLit);
    if (row.tagName === "BUTTON") row.setAttribute("aria-pressed", String(isLit));
    if (isLit) shown = row;
  }
  const start = listing ? [...byId("source").querySelectorAll(".row:not(.outside)")][0] : undefined;
  return shown || start;
}
