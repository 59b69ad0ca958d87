"use strict";
// The net as a whole: its graph, a row a layer, the roofline, memory, groups. Built when first shown.

let netIsThere = false;

function showNet(data) {
  if (netIsThere) return;
  netIsThere = true;
  showGraph(data);
  new LayerTable(data).show();
  wireRoofline(data);
  showMemory(data);
  showGroups(data);
}

function goTo(layer) {
  select({ view: "", layer });
}

// ---- the graph ----

function showGraph(data) {
  const { width, height, boxes, edges } = data.graph;
  const arrow = draw("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" },
    draw("path", { d: "M0 0.8 L7.5 4 L0 7.2 z", class: "head" }));
  const em = fontOf(boxes);
  const scale = 11 / em; // letters of 11 pixels
  fill(byId("graph-pane"), draw("svg",
    { viewBox: `0 0 ${width} ${height}`, width: width * scale, height: height * scale, class: "graph", role: "group", "aria-label": "Layers and blobs of the net", style: { "font-size": em } },
    draw("defs", {}, arrow),
    edges.map((edge) => drawEdge(edge, em)),
    boxes.map((box) => drawBox(data, box, em))));
}

// Letters fit the boxes, which were measured for theirs.
function fontOf(boxes) {
  const fits = boxes.map((box) => Math.min(
    box.height / (1.25 * box.lines.length + 1),
    box.width / (0.62 * Math.max(1, ...box.lines.map((line) => line.length)) + 1)));
  return Math.max(Math.min(...fits), 1e-3);
}

function drawBox(data, box, em) {
  const { x, y, width, height, lines, kind } = box;
  const layer = kind === "layer" ? data.layers.find((each) => each.name === box.name) : undefined;
  const texts = lines.map((line, at) =>
    draw("text", { x, y: y + em * (1.25 * (at - (lines.length - 1) / 2) + 0.35), class: at ? "more" : "" }, line));
  const frame = draw("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: kind === "blob" ? height / 2 : em / 4 });
  if (!layer) return draw("g", { class: `box ${kind}` }, frame, texts);
  const go = () => goTo(layer.name);
  const node = draw("g", { class: `box ${kind}${layer.inserted ? " inserted" : ""}`, role: "button", tabindex: 0, "aria-label": `${layer.name}, ${layer.type}`, click: go }, frame, texts);
  node.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); } });
  return node;
}

function drawEdge(edge, em) {
  const points = edge.points.map((point) => point.join(",")).join(" ");
  return draw("g", { class: "edge" },
    draw("polyline", { points, "marker-end": "url(#arrow)" }),
    edge.label.split("\n").map((line, at) => draw("text", { x: edge.x + em * 0.5, y: edge.y - em * 0.4 - at * em * 1.2 }, line)));
}

// ---- the table ----

const SORTABLE = [
  ["ms forward", (layer) => layer.ms.forward],
  ["ms backward", (layer) => layer.ms.backward],
  ["MFLOP forward", (layer) => layer.flops.forward / 1e6],
  ["MFLOP backward", (layer) => layer.flops.backward / 1e6],
  ["MB moved", (layer) => (layer.bytes.forward + layer.bytes.backward) / 1e6],
  ["parameters", (layer) => layer.params.reduce((sum, each) => sum + sizeOf(each.shape), 0)],
  ["GFLOP/s", (layer) => layer.gflops],
  ["of the roof", (layer) => layer.share_of_roof],
];

class LayerTable {
  constructor(data) {
    this.data = data;
    this.column = -1; // in the net's order
  }

  show() {
    const layers = [...this.data.layers];
    if (this.column >= 0) {
      const value = SORTABLE[this.column][1];
      layers.sort((one, other) => value(other) - value(one));
    }
    const heads = SORTABLE.map(([title], at) => make("th", { scope: "col", class: "figure", "aria-sort": at === this.column ? "descending" : "none" },
      button(title, () => this.sort(at), { title: `sort by ${title}; again: the net's order` })));
    fill(byId("table-pane"), make("table", { class: "layers" },
      make("thead", {}, make("tr", {}, ["layer", "type", "tops"].map((title) => make("th", { scope: "col" }, title)), heads, make("th", { scope: "col" }, "bound by"))),
      make("tbody", {}, layers.map((layer) => this.row(layer))),
      make("tfoot", {}, this.sums())));
  }

  sort(column) {
    this.column = this.column === column ? -1 : column;
    this.show();
  }

  row(layer) {
    const most = { 0: this.most(0), 1: this.most(1) };
    const figures = SORTABLE.map(([, value], at) => {
      const number = value(layer);
      const text = at < 2 ? ms(number) : at === 5 ? grouped(number) : at === 7 ? percent(number) : digits(number);
      const shown = number ? text : "·";
      const share = at < 2 ? number / most[at] : at === 7 ? number : 0;
      return make("td", { class: "figure" }, share ? barred(shown, share, at === 0 ? "of-forward" : at === 1 ? "of-backward" : "") : shown);
    });
    return make("tr", {},
      make("th", { scope: "row" }, button(layer.name, () => goTo(layer.name), { class: "link" })),
      make("td", {}, layer.type, layer.inserted ? make("span", { class: "detail" }, " put in") : ""),
      make("td", { class: "shapes" }, layer.blobs.map((blob) => shape(blob.shape)).join(", ")),
      figures, make("td", {}, layer.bound_by));
  }

  most(column) {
    return Math.max(...this.data.layers.map(SORTABLE[column][1]), 1e-9);
  }

  sums() {
    const sum = (at) => this.data.layers.reduce((total, layer) => total + SORTABLE[at][1](layer), 0);
    const texts = [0, 1, 2, 3, 4, 5].map((at) => (at < 2 ? ms(sum(at)) : at === 5 ? grouped(sum(at)) : digits(sum(at))));
    return make("tr", {}, make("th", { scope: "row", colspan: 3 }, count(this.data.layers.length, "layer")),
      texts.map((text) => make("td", { class: "figure" }, text)), make("td", { colspan: 3 }));
  }
}

// ---- the roofline: a point is a link to its layer ----

function wireRoofline(data) {
  if (!byId("roofline-pane").firstElementChild) {
    fill(byId("roofline-pane"), make("p", { class: "hint" }, data.roofline.missing || "No layer was measured."));
    return;
  }
  data.roofline.points.forEach((point, at) => {
    const node = byId(`roof-${at}`);
    if (!node) return;
    const said = `${point.layer} ${point.pass}: ${digits(point.gflops)} GFLOP/s, ${digits(point.intensity)} operations a byte`;
    node.prepend(draw("title", {}, said));
    node.classList.add("point");
    node.addEventListener("click", () => goTo(point.layer));
  });
}

// ---- memory: a row a piece of it, a column a layer ----

function showMemory(data) {
  const plan = data.memory_plan, columns = data.layers.length;
  if (!plan.lives.length) {
    fill(byId("memory-pane"), make("p", { class: "hint" }, "No blob shares memory with another."));
    return;
  }
  const said = `Where nobody looks at the blobs between layers, ${amount(plan.bytes_shared, "B")} do for ${amount(plan.bytes_alone, "B")}: `
    + `${count(plan.buffers.length, "buffer")}, each for blobs that are never needed at once.`;
  const rows = plan.lives.map((life) => {
    const own = life.buffer < 0;
    const bar = make("span", { class: `life${own ? " own" : ""}`, style: { "--hue": hue(life.buffer), "--first": (100 * life.first) / columns + "%", "--long": (100 * (life.last - life.first + 1)) / columns + "%" } },
      own ? "" : String(life.buffer + 1));
    const range = `${data.layers[life.first].name} to ${data.layers[life.last].name}`;
    return make("tr", {}, make("th", { scope: "row" }, life.blobs.join(", ")),
      make("td", { class: "figure" }, amount(life.bytes, "B")), make("td", { class: "figure" }, own ? "own" : String(life.buffer + 1)),
      make("td", { class: "lives", title: range }, bar));
  });
  fill(byId("memory-pane"), make("p", {}, said), make("table", { class: "memory" },
    make("thead", {}, make("tr", {}, ["blobs", "size", "buffer", "needed from the first layer to the last"].map((title, at) => make("th", { scope: "col", class: at === 1 || at === 2 ? "figure" : "" }, title)))),
    make("tbody", {}, rows)));
}

function showGroups(data) {
  const inserted = data.layers.filter((layer) => layer.inserted);
  const link = (name) => button(name, () => goTo(name), { class: "link" });
  const groups = data.fused_groups.map((group) => make("li", {},
    button(group.name, () => select({ view: "", group: group.name }), { class: "link" }), ` runs ${group.layers.join(", ")} as one, by ${group.family}`));
  const layers = inserted.map((layer) => make("li", {}, link(layer.name), ` (${layer.type}): ${layer.bottoms.join(", ")} for ${count(layer.tops.length, "reader")}`));
  const none = make("p", { class: "hint" }, "Neither is in this net.");
  fill(byId("groups-pane"), groups.length || layers.length ? make("ul", {}, groups, layers) : none);
}
