"use strict";
// Without a mouse: Tab goes from pane to pane, arrow keys step through the rows of one and pick them.

const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity };

function rowsOf(pane) {
  return [...pane.querySelectorAll("button.row")].filter((row) => row.offsetParent !== null || row.closest(".chunk"));
}

function isHidden(row) {
  return row.classList.contains("k-address") && row.closest(".no-addresses");
}

function step(event) {
  const row = event.target.closest("button.row");
  if (!row || !(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const rows = rowsOf(row.closest(".rows")).filter((each) => !isHidden(each));
  const place = Math.min(rows.length - 1, Math.max(0, rows.indexOf(row) + STEPS[event.key]));
  rows[place].click();
  focusRow(rows[place]);
}

// One row of a pane is reached by Tab: the one that was there last.
function focusRow(row) {
  makeReachable(row);
  row.focus({ preventScroll: true });
  reveal(row);
}

function makeReachable(row) {
  for (const each of row.closest(".rows").querySelectorAll('button.row[tabindex="0"]')) each.tabIndex = -1;
  row.tabIndex = 0;
}

// Every pane has a row that Tab reaches: the picked one, else the first.
function reachable(pane) {
  const row = pane.querySelector("button.row.lit, button.row.picked") || pane.querySelector("button.row");
  if (row) makeReachable(row);
}

function listen(data) {
  document.addEventListener("keydown", step);
  byId("ruler").addEventListener("click", goByRuler);
  const tell = (event) => {
    const row = event.target.closest && event.target.closest("#listing button.row");
    if (row) say(noteOf(data, Number(row.dataset.row)) || summary(data));
  };
  byId("listing").addEventListener("mouseover", tell);
  byId("listing").addEventListener("focusin", tell);
  byId("listing").addEventListener("mouseleave", () => say(summary(data)));
  for (const pane of document.querySelectorAll(".rows"))
    pane.addEventListener("click", (event) => {
      const row = event.target.closest("button.row");
      if (row) makeReachable(row);
    });
}
