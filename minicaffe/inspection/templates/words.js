"use strict";
// Numbers and shapes as people read them.

function grouped(number) {
  return Math.round(number).toLocaleString("en-US");
}

// Three digits that mean something: 1,310 13.1 1.31 0.131
function digits(number) {
  if (!number) return "0";
  const size = Math.abs(number);
  if (size >= 1000) return grouped(number);
  if (size < 0.001) return number.toExponential(1);
  return String(Number(number.toPrecision(3)));
}

function ms(time) {
  return time >= 100 ? grouped(time) : time >= 0.01 ? time.toFixed(2) : time ? time.toFixed(4) : "0";
}

function amount(number, unit) {
  const steps = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [size, letter] = steps.find(([each]) => number >= each) || [1, ""];
  return `${digits(number / size)} ${letter}${unit}`;
}

function percent(share) {
  return share >= 0.0995 ? `${Math.round(100 * share)} %` : `${(100 * share).toFixed(1)} %`;
}

function shape(sizes) {
  return sizes.length ? sizes.join(" × ") : "scalar";
}

function count(number, one, many) {
  return `${grouped(number)} ${number === 1 ? one : many || `${one}s`}`;
}

function sizeOf(sizes) {
  return sizes.reduce((product, each) => product * each, 1);
}
