"use strict";
// The third column, right: what the kernel became. Rows are built when their text is shown.

const CHUNK = 200; // rows that the browser lays out together, when they come into sight
const TALL = 17.25; // pixels of a row, until it is laid out

let page; // the data
let shownRows = []; // of the listing, by their number

function current() {
  return page.listings[selection.kernel];
}

// The name of the text that is shown: the picked one, or the first that has rows.
function currentForm() {
  const forms = current().forms, names = Object.keys(forms);
  if (forms[selection.form]) return selection.form;
  return names.find((name) => forms[name].rows.text.length) || names[0] || "";
}

function showCode(data) {
  page = data;
  const listing = current();
  byId("code").classList.toggle("alone", !listing);
  shownRows = [];
  if (!listing) {
    for (const name of ["code-tools", "code-head", "loops", "listing", "ruler"]) fill(byId(name));
    showSource(data, undefined, new Map(), new Map());
    return;
  }
  const name = currentForm(), form = listing.forms[name];
  showHead(listing, name);
  if (!form || !form.rows.text.length) {
    const why = (form && form.missing) || listing.missing || "There is no text of this kernel.";
    fill(byId("listing"), make("p", { class: "hint" }, why));
    fill(byId("loops"));
    fill(byId("ruler"));
    showSource(data, listing, new Map(), new Map());
    return;
  }
  const counts = countPlaces(data, form), hues = huesOf(counts);
  showSource(data, listing, counts, hues);
  showLoops(form);
  showRows(data, form, hues);
  if (form.missing || listing.missing) byId("listing").prepend(make("p", { class: "hint" }, form.missing || listing.missing));
}

function showHead(listing, name) {
  const tabs = Object.entries(listing.forms).map(([each, form]) =>
    button(form.title || each, () => select({ form: each }), { class: "tab", "aria-pressed": String(each === name) }));
  const tools = byId("code-tools");
  const isHidden = byId("listing").classList.contains("no-addresses");
  const filter = make("label", {}, make("input", { type: "checkbox", id: "addresses", checked: isHidden }), "hide address arithmetic");
  filter.firstChild.addEventListener("change", (event) => byId("listing").classList.toggle("no-addresses", event.target.checked));
  filter.hidden = !listing.forms[name] || !listing.forms[name].rows.kind.includes("address");
  const wide = byId("path").classList.contains("wide-code");
  const widen = button("whole width", () => {
    const now = byId("path").classList.toggle("wide-code");
    widen.setAttribute("aria-pressed", String(now));
  }, { class: "tab", "aria-pressed": String(wide) });
  fill(tools, make("span", { class: "tabs", role: "group", "aria-label": "Text" }, tabs), filter, widen);
  fill(byId("code-head"), make("p", {}, make("b", {}, `${listing.device} · ${listing.kernel}`), make("span", { title: listing.signature }, listing.signature)));
}

// What a row of the text that is shown is called.
function unit() {
  return currentForm() === "numpy" ? "array operation" : "instruction";
}

function placeOf(data, form, row) {
  const [file, line] = data.places[form.rows.place[row]];
  return `${file} ${line}`;
}

function countPlaces(data, form) {
  const counts = new Map();
  form.rows.text.forEach((_, row) => {
    const number = form.rows.place[row];
    if (!data.places[number][1] || form.rows.kind[row] === "label") return;
    const place = placeOf(data, form, row);
    counts.set(place, (counts.get(place) || 0) + 1);
  });
  return counts;
}

// Neighbouring lines get colours far from each other.
function huesOf(counts) {
  const places = [...counts.keys()].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  return new Map(places.map((place, at) => [place, hue(at)]));
}

function showRows(data, form, hues) {
  const starts = new Map(form.functions.map((each) => [each.first, each.name]));
  const depths = new Map(form.loops.map((loop) => [loop.number, loop.depth]));
  const deepest = Math.max(0, ...depths.values());
  const listing = byId("listing");
  listing.style.setProperty("--deepest", deepest);
  const chunks = [];
  form.rows.text.forEach((text, row) => {
    if (row % CHUNK === 0) chunks.push(make("div", { class: "chunk", style: { "contain-intrinsic-height": `auto ${TALL * CHUNK}px` } }));
    const chunk = chunks[chunks.length - 1];
    if (starts.has(row) && form.functions.length > 1) chunk.append(make("h3", { class: "file" }, starts.get(row)));
    const depth = depths.get(form.rows.loop[row]) || 0;
    shownRows.push(instruction(data, form, row, text, depth, hues));
    chunk.append(shownRows[row]);
  });
  fill(listing, chunks);
  listing.scrollTop = 0;
}

function instruction(data, form, row, text, depth, hues) {
  const [file, line] = data.places[form.rows.place[row]];
  const kind = form.rows.kind[row], tint = hues.get(`${file} ${line}`);
  const given = { type: "button", class: `row k-${kind}${tint === undefined ? "" : " coloured"}`, tabindex: -1, "data-row": row };
  given.style = tint === undefined ? { "--depth": depth } : { "--depth": depth, "--hue": tint };
  given.click = () => pickRow(row, file, line);
  const [, start, word, rest] = /^(\s*(?:%\S+ = )?)(\S*)(.*)$/s.exec(text);
  return make("button", given,
    make("span", { class: "number" }, line && kind !== "label" ? String(line) : ""),
    make("span", { class: "depth" }),
    make("code", {}, start, make("b", {}, word), rest));
}

function pickRow(row, file, line) {
  const own = current().file;
  select({ file: !line || file === own ? "" : file, line, row });
}

function markListing(data) {
  const listing = current();
  if (!listing || !shownRows.length) return [];
  const form = listing.forms[currentForm()];
  const wanted = `${selection.file || listing.file} ${selection.line}`;
  const lit = [];
  shownRows.forEach((node, row) => {
    const isLit = selection.line > 0 && form.rows.kind[row] !== "label" && placeOf(data, form, row) === wanted;
    node.classList.toggle("lit", isLit);
    node.classList.toggle("picked", row === selection.row);
    node.setAttribute("aria-pressed", String(isLit));
    if (isLit) lit.push(node);
  });
  showRuler(lit);
  return lit;
}

// The first of some rows that are deepest in loops: there most of the time goes.
function innermost(rows) {
  const depth = (row) => Number(row.style.getPropertyValue("--depth"));
  const deepest = Math.max(...rows.map(depth));
  return rows.find((row) => depth(row) === deepest);
}

// Beside the scroll bar: where in the whole text the lit rows are.
function showRuler(lit) {
  const all = shownRows.length, runs = [];
  for (const node of lit) {
    const row = Number(node.dataset.row), last = runs[runs.length - 1];
    if (last && row <= last[1] + 1 + all / 400) last[1] = row;
    else runs.push([row, row]);
  }
  fill(byId("ruler"), runs.map(([first, end]) =>
    make("span", { style: { top: `${(100 * first) / all}%`, height: `${(100 * (end - first + 1)) / all}%` } })));
}

function goByRuler(event) {
  const box = byId("ruler").getBoundingClientRect(), listing = byId("listing");
  listing.scrollTop = ((event.clientY - box.top) / box.height) * listing.scrollHeight - listing.clientHeight / 2;
}

// What an instruction does, for whoever points at it or stands on it.
function noteOf(data, row) {
  const form = current().forms[currentForm()];
  return data.notes[form.rows.note[row]];
}
