"use strict";
// The second column: what a layer, a fused group or the solver's update is, and does.

function showSubject(data) {
  const pane = byId("layer-pane");
  pane.scrollTop = 0;
  const layer = data.layers.find((each) => each.name === selection.layer);
  const group = data.fused_groups.find((each) => each.name === selection.group);
  if (layer) fill(pane, showLayer(data, layer));
  else if (group) fill(pane, showGroup(data, group));
  else if (selection.group === "update")
    fill(pane, make("h3", { class: "name" }, "The solver's update"), showChain(data, data.update, {}));
  else fill(pane, howTo(data));
}

function howTo(data) {
  return [
    make("p", { class: "hint" }, "Pick a line of the prototxt, then a kernel of that layer, then a line of its Python: the instructions it became light up."),
    make("p", { class: "hint" }, "Tab goes from column to column, arrow keys step through lines."),
    ...data.made.notes.map((note) => make("p", { class: "hint" }, note)),
    ...Object.entries(data.made.missing).map(([device, why]) => make("p", { class: "hint" }, make("b", {}, device), `: ${why}`)),
  ];
}

function showLayer(data, layer) {
  const pictures = data.pictures.filter((each) => each.layer === layer.name);
  return [
    make("h3", { class: "name" }, layer.name, make("span", {}, layer.type)),
    layerFacts(data, layer),
    showChain(data, layer.calls, layer.missing),
    part("What it computes", layerDoc(layer)),
    layer.params.length ? part("Parameters", layer.params.map(showArray)) : "",
    layer.blobs.length ? part("Tops", layer.blobs.map(showArray)) : "",
    pictures.length ? part("Pictures", pictures.map(showPicture)) : "",
  ];
}

function part(title, ...inside) {
  return make("section", { class: "part", "aria-label": title }, make("h4", {}, title), inside);
}

function layerFacts(data, layer) {
  const facts = [["in", layer.bottoms.join(", ") || "nothing"], ["out", layer.blobs.map((blob) => `${blob.name} ${shape(blob.shape)}`).join(", ") || layer.tops.join(", ")]];
  const learnt = layer.params.reduce((sum, each) => sum + sizeOf(each.shape), 0);
  if (learnt) facts.push(["parameters", grouped(learnt)]);
  facts.push(["forward", passFacts(layer, "forward")]);
  if (layer.ms.backward || layer.flops.backward) facts.push(["backward", passFacts(layer, "backward")]);
  if (layer.gflops) facts.push(["reaches", `${digits(layer.gflops)} GFLOP/s`]);
  if (layer.bound_by) facts.push(["of the roof", barred(`${percent(layer.share_of_roof)}, bound by ${layer.bound_by}`, layer.share_of_roof)]);
  if (layer.way) facts.push(["way", layer.way]);
  if (layer.fused) facts.push(["fused", button(layer.fused, () => select({ group: layer.fused }), { class: "link" })]);
  return make("dl", { class: "facts" }, facts.map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function passFacts(layer, pass) {
  return `${ms(layer.ms[pass])} ms, ${amount(layer.flops[pass], "FLOP")}, ${amount(layer.bytes[pass], "B")}`;
}

// The docstring; the rest of the file stands in the third column.
function layerDoc(layer) {
  const place = button(`${layer.file}:${layer.first_line}`,
    () => select({ kernel: "", file: layer.file, line: layer.first_line }), { class: "link" });
  return [make("div", { class: "doc" }, docBlocks(layer.doc)), make("p", {}, place)];
}

// Paragraphs flow; what is indented, formulas and examples, stays as it is.
function docBlocks(text) {
  const blocks = [];
  for (const line of text.split("\n")) {
    const kind = /^\s/.test(line) ? "pre" : line ? "p" : "";
    const last = blocks[blocks.length - 1];
    if (last && (last.kind === kind || (kind === "" && last.kind === "pre"))) last.lines.push(line);
    else blocks.push({ kind, lines: [line] });
  }
  return blocks.filter((block) => block.kind).map(({ kind, lines }) =>
    kind === "pre" ? make("pre", {}, dedented(lines).join("\n").trimEnd()) : make("p", {}, coded(lines.join(" "))));
}

function dedented(lines) {
  const depth = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return lines.map((line) => line.slice(depth));
}

// Words between back quotes are code.
function coded(text) {
  return text.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));
}

function showArray(array) {
  const size = shape(array.shape);
  return make("div", { class: "array" },
    make("p", {}, make("code", {}, /^\d+$/.test(array.name) ? `blobs[${array.name}]` : array.name), ` ${size}`),
    statsRow("values", array.stats), array.gradient ? statsRow("gradient", array.gradient) : "");
}

function statsRow(name, stats) {
  const said = [`mean ${digits(stats.mean)}`, `std ${digits(stats.std)}`];
  if (stats.zeros) said.push(`${percent(stats.zeros)} zeros`);
  const bad = stats.non_finite ? make("b", { class: "bad" }, `${percent(stats.non_finite)} not finite`) : "";
  return make("div", { class: "stats" }, histogram(stats), make("p", {}, make("b", {}, name), make("br"), said.join(", "), bad ? [", ", bad] : ""));
}

// A pixel of a small picture becomes a square of several.
function showPicture(picture) {
  const image = make("img", { alt: picture.title });
  image.addEventListener("load", () => { image.width = image.naturalWidth * Math.max(1, Math.floor(250 / image.naturalWidth)); });
  image.src = `data:image/png;base64,${picture.png}`;
  return make("figure", { class: "picture" }, image, make("figcaption", {}, picture.title));
}

function showGroup(data, group) {
  const layers = group.layers.map((name) => button(name, () => select({ layer: name }), { class: "link" }));
  return [
    make("h3", { class: "name" }, group.name, make("span", {}, "fused group")),
    make("dl", { class: "facts" }, make("dt", {}, "layers"), make("dd", {}, layers.flatMap((each, at) => (at ? [", ", each] : [each]))),
      make("dt", {}, "kernels"), make("dd", {}, group.family)),
    make("p", { class: "hint" }, "These layers run as one where nobody looks at the blobs between them."),
    showChain(data, group.calls, group.missing),
  ];
}
