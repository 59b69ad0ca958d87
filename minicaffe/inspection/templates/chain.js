"use strict";
// The chain: for each pass the calls of kernel families, and on each device the kernels they ran.

const PASSES = [["forward", "Forward"], ["backward", "Backward"], ["update", "Update"]];

function showChain(data, calls, missing) {
  const passes = PASSES.map(([pass, title]) => {
    const steps = stepsOf(data, calls.filter((call) => call.pass === pass));
    if (!steps.length) return "";
    const most = Math.max(...steps.flatMap((step) => step.map((call) => call.ms)));
    return part(title, steps.map((step) => showStep(data, step, most)));
  });
  const why = Object.entries(missing).map(([device, text]) =>
    make("p", { class: "why" }, make("b", {}, device), ` ${text}`));
  const none = calls.length ? [] : [make("p", { class: "hint" }, "No kernel ran for this layer.")];
  return [passes, none, why];
}

// Calls of one pass, those that are the same on several devices side by side: the device of the page
// first, then the others in order.
function stepsOf(data, calls) {
  const steps = new Map(), seen = new Map();
  for (const call of calls) {
    const name = `${call.family}.${call.function}`;
    const turn = seen.get(`${call.device} ${name}`) || 0;
    seen.set(`${call.device} ${name}`, turn + 1);
    const key = `${name} ${turn}`;
    steps.set(key, [...(steps.get(key) || []), call]);
  }
  const order = [data.made.device, ...data.made.devices];
  return [...steps.values()].map((step) =>
    step.sort((one, other) => order.indexOf(one.device) - order.indexOf(other.device)));
}

function showStep(data, step, most) {
  const [first] = step;
  const go = () => select({ kernel: "", file: first.file, line: first.line });
  return make("div", { class: "call" },
    make("p", { class: "function" }, button(`${first.family}.${first.function}`, go, { class: "link", title: `${first.file}:${first.line}` })),
    make("p", { class: "arguments" }, first.arguments.flatMap((each) => [make("span", { title: each }, each), " "])),
    step.map((call) => showDevice(data, call, most)));
}

function showDevice(data, call, most) {
  const kernels = call.kernels.map((kernel) => showKernel(data, call, kernel));
  const inside = kernels.length ? kernels : [make("p", { class: "why" }, call.missing || "no kernel of its own")];
  return make("div", { class: "device" },
    make("p", { class: "which" }, make("b", {}, call.device), make("span", { class: "ms" }, barred(`${ms(call.ms)} ms`, call.ms / most))),
    inside);
}

function showKernel(data, call, kernel) {
  const detail = make("span", { class: "detail" }, kernel.detail);
  const what = make("span", { class: "what" }, make("code", {}, breakable(kernel.kernel)), " ", detail);
  const inside = [what, make("span", { class: "ms" }, `${ms(kernel.ms)} ms`)];
  if (!data.listings[kernel.listing]) return make("p", { class: "kernel none" }, inside);
  const pick = () => select({ kernel: kernel.listing });
  return make("button", { type: "button", class: "kernel", click: pick, "data-kernel": kernel.listing }, inside);
}

function markKernels() {
  for (const row of byId("layer-pane").querySelectorAll("button.kernel")) {
    const isPicked = row.dataset.kernel === selection.kernel;
    row.classList.toggle("picked", isPicked);
    row.setAttribute("aria-pressed", String(isPicked));
  }
}

// Of an address: a kernel's key as it is, a kernel's name as the first such of the layer.
function findKernel(data, wanted, name) {
  if (data.listings[name]) return name;
  const layer = data.layers.find((each) => each.name === wanted.layer);
  const calls = layer ? layer.calls : data.update;
  const kernels = calls.flatMap((call) => call.kernels).filter((each) => data.listings[each.listing]);
  const found = kernels.find((kernel) => kernel.kernel === name);
  if (found) return found.listing;
  return Object.keys(data.listings).find((key) => data.listings[key].kernel === name) || "";
}
