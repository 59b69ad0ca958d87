"use strict";
// What is picked, as the part of the address after #: a link to it leads here again.
//
//     #layer=conv1&kernel=cpu:_convolution_2d._forward:1&line=214
//
// layer, group or update    whose chain the second column shows
// kernel                    key of a listing, or the name of a kernel of this layer
// form                      which of its texts: asm, llvm, ptx, ...
// file, line                a line of Python; without `file` it is one of the kernel's own file
// row                       an instruction
// view                      "net", or nothing

const EMPTY = { view: "", layer: "", group: "", kernel: "", form: "", file: "", line: 0, row: -1 };
const selection = { ...EMPTY };
const watchers = [];

// Call `watcher(changed, isFromAddress)` with the names of what is picked anew.
function whenSelected(watcher) {
  watchers.push(watcher);
}

// Pick: what is not named stays, but for what hangs on what is.
function select(changes, isFromAddress) {
  const wanted = { ...selection, ...below(changes), ...changes };
  const changed = Object.keys(EMPTY).filter((name) => wanted[name] !== selection[name]);
  if (!changed.length) return;
  Object.assign(selection, wanted);
  if (!isFromAddress) history.replaceState(null, "", address());
  for (const watcher of watchers) watcher(new Set(changed), Boolean(isFromAddress));
}

// A new layer has other kernels, a new kernel other lines, a new text other instructions.
function below(changes) {
  const { layer, group, kernel, form, file, line, row } = EMPTY;
  if ("layer" in changes || "group" in changes) return { layer, group, kernel, file, line, row };
  if ("kernel" in changes) return { file, line, row };
  if ("form" in changes || "line" in changes) return { row };
  return {};
}

function address(changes) {
  const picked = { ...selection, ...changes };
  const parts = Object.keys(EMPTY).filter((name) => picked[name] !== EMPTY[name]);
  return `#${parts.map((name) => `${name}=${encodeURIComponent(picked[name])}`).join("&")}`;
}

// Pick what the address says; a kernel by its name is looked for by `find(layer, name)`.
function selectFromAddress(find) {
  const said = new URLSearchParams(location.hash.slice(1));
  const wanted = { ...EMPTY };
  for (const name in EMPTY) {
    if (!said.has(name)) continue;
    const text = said.get(name);
    wanted[name] = typeof EMPTY[name] === "number" ? Number(text) || 0 : text;
  }
  if (wanted.kernel) wanted.kernel = find(wanted, wanted.kernel);
  select(wanted, true);
}
