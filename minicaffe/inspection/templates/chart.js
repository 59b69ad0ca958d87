"use strict";
// Small charts that stand in the text.

const CHART = { width: 132, height: 30 };

// How many values lie where; the row of its ends is text.
function histogram(stats) {
  const { low, high, counts } = stats.histogram;
  const most = Math.max(...counts, 1), wide = CHART.width / Math.max(counts.length, 1);
  const bars = counts.map((each, at) => {
    const tall = each ? Math.max(1, (CHART.height * each) / most) : 0;
    return draw("rect", { x: at * wide, y: CHART.height - tall, width: Math.max(wide - 0.6, 0.5), height: tall });
  });
  const zero = low < 0 && high > 0 ? (-low / (high - low)) * CHART.width : -1;
  if (zero >= 0) bars.push(draw("line", { x1: zero, x2: zero, y1: 0, y2: CHART.height, class: "zero" }));
  const said = `${count(counts.reduce((sum, each) => sum + each, 0), "value")} from ${digits(low)} to ${digits(high)}`;
  const frame = { viewBox: `0 0 ${CHART.width} ${CHART.height}`, class: "histogram", role: "img", "aria-label": said };
  return make("figure", {},
    draw("svg", frame, draw("title", {}, said), bars),
    make("figcaption", {}, make("span", {}, digits(low)), make("span", {}, digits(high))));
}

// A part of a whole as a bar behind a number.
function barred(text, share, kind) {
  const wide = `${Math.min(100, Math.max(0, 100 * share)).toFixed(1)}%`;
  return make("span", { class: `barred ${kind || ""}`, style: { "--part": wide } }, text);
}

// A colour of its own for each of some things that lie side by side.
function hue(number) {
  return Math.round((number * 137.5 + 200) % 360);
}
