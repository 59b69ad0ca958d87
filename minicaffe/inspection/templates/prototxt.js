"use strict";
// The first column: the lines of the prototxt; those of a layer pick it.

function showPrototxt(data) {
  const owners = new Map();
  for (const layer of data.layers)
    for (let line = layer.first; line && line <= layer.last; line++) owners.set(line, layer);
  const most = Math.max(...data.layers.map(timeOf), 1e-9);
  const rows = data.prototxt.lines.map((words, at) => {
    const layer = owners.get(at + 1);
    const inside = [make("span", { class: "number" }, String(at + 1)), make("code", {}, highlighted(words))];
    if (!layer) return make("div", { class: "row plain" }, inside);
    if (layer.first === at + 1) inside.push(timeBar(layer, most));
    const pick = () => select({ layer: layer.name });
    return make("button", { type: "button", class: "row", tabindex: -1, click: pick, "data-layer": layer.name }, inside);
  });
  fill(byId("prototxt-rows"), rows, putIn(data, most), updateRow(data));
  byId("prototxt-title").title = data.prototxt.file;
}

function timeOf(layer) {
  return layer.ms.forward + layer.ms.backward;
}

function timeBar(layer, most) {
  const time = timeOf(layer);
  const said = `${ms(time)} ms`;
  return make("span", { class: "time", title: `${said} forward and backward` }, barred(said, time / most));
}

// Layers without lines: the net has put them in.
function putIn(data, most) {
  const layers = data.layers.filter((layer) => !layer.first);
  if (!layers.length) return [];
  const rows = layers.map((layer) => make("button",
    { type: "button", class: "row", tabindex: -1, click: () => select({ layer: layer.name }), "data-layer": layer.name },
    make("span", { class: "number" }, "+"), make("code", {}, `${layer.name} (${layer.type})`), timeBar(layer, most)));
  return [make("h3", {}, "Put in by the net"), ...rows];
}

function updateRow(data) {
  if (!data.update.length) return [];
  const pick = () => select({ group: "update" });
  return [make("h3", {}, "After backward"), make("button",
    { type: "button", class: "row", tabindex: -1, click: pick, "data-group": "update" },
    make("span", { class: "number" }, "·"), make("code", {}, "the solver's update"))];
}

function markPrototxt() {
  for (const row of byId("prototxt-rows").querySelectorAll("button")) {
    const isPicked = selection.layer
      ? row.dataset.layer === selection.layer
      : selection.group !== "" && row.dataset.group === selection.group;
    row.classList.toggle("picked", isPicked);
    row.setAttribute("aria-pressed", String(isPicked));
  }
}
