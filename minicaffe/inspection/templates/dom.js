"use strict";
// Elements. Whatever comes from the data becomes text: nothing here reads a text as markup.

// An element with attributes and what is inside; `click` is called, `style` sets properties.
function make(kind, given, ...inside) {
  return furnish(document.createElement(kind), given, inside);
}

// The same for pictures.
function draw(kind, given, ...inside) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", kind), given, inside);
}

function furnish(node, given, inside) {
  for (const [name, value] of Object.entries(given || {})) {
    if (name === "click") node.addEventListener("click", value);
    else if (name === "style") for (const key in value) node.style.setProperty(key, value[key]);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...inside.flat(Infinity).filter((each) => each !== "" && each !== undefined));
  return node;
}

function byId(name) {
  return document.getElementById(name);
}

function fill(node, ...inside) {
  node.replaceChildren();
  return furnish(node, {}, inside);
}

// A button that shows a text; `more` are further attributes.
function button(text, click, more) {
  return make("button", { type: "button", click, ...more }, text);
}

// A highlighted line: letter, word, letter, word, ... (see highlighting.py)
function highlighted(line) {
  const words = [];
  for (let at = 0; at < line.length; at += 2)
    words.push(line[at] ? make("span", { class: `w-${line[at]}` }, line[at + 1]) : line[at + 1]);
  return words;
}

// A name that may go on in the next line after a dot and before a _, rather than anywhere.
function breakable(name) {
  return name.split(/(?<=\.)|(?=_)/).flatMap((part, at) => (at ? [make("wbr"), part] : [part]));
}

// Let one place of a scrolling pane be seen; nothing else moves, and no animation.
function reveal(node) {
  const pane = node.closest(".pane");
  if (!pane) return;
  const box = node.getBoundingClientRect(), frame = pane.getBoundingClientRect();
  if (box.top < frame.top + 8 || box.bottom > frame.bottom - 8)
    pane.scrollTop += box.top - frame.top - frame.height / 3;
}
