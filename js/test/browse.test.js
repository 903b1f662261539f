import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Axis, logTicks, ticks } from "../src/axes.js";
import { placeLabels } from "../src/labels.js";
import confusion, { cellsOf, Window } from "../src/views/confusion.js";
import gallery, { capacity, turned } from "../src/views/gallery.js";
import matrix, { next } from "../src/views/matrix.js";
import scatter, { ranges, words } from "../src/views/scatter.js";
import table, { sorted, span } from "../src/views/table.js";
import { Model, newDocument } from "./dom.js";

let el;
beforeEach(() => {
  el = newDocument();
  globalThis.ResizeObserver = class {
    observe() {}
    disconnect() {}
  };
  URL.createObjectURL = () => "blob:page";
  URL.revokeObjectURL = () => {};
  window.HTMLDialogElement.prototype.showModal = function () { this.open = true; };
  window.HTMLDialogElement.prototype.close = function () {
    this.open = false;
    this.dispatchEvent(new window.Event("close"));
  };
  window.HTMLCanvasElement.prototype.getContext = () => null;
});

const press = (node, key, more = {}) =>
  node.dispatchEvent(new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
const all = (selector) => [...el.querySelectorAll(selector)];

// Axes and labels.

test("ticks are round and inside the range", () => {
  assert.deepEqual(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(0.513, 0.548, 5), [0.52, 0.53, 0.54]);
  assert.deepEqual(logTicks(900, 60000), [1000, 2000, 5000, 10000, 20000, 50000]);
  assert.deepEqual(logTicks(61000, 64000), ticks(61000, 64000));
});

test("an axis keeps the value under the pointer while it zooms", () => {
  for (const log of [false, true]) {
    const axis = new Axis(10, 1000, 0, 200, log);
    const value = axis.value(50), [low, high] = axis.zoomed(0.5, 50);
    assert.ok(Math.abs(new Axis(low, high, 0, 200, log).value(50) - value) < 1e-9 * value);
    assert.ok(Math.abs(axis.pixel(axis.value(123)) - 123) < 1e-9);
  }
});

test("labels overlap neither each other nor points, and stay inside", () => {
  const at = (i) => ({ x: 60 + 14 * (i % 4), y: 60 + 11 * Math.floor(i / 4), width: 70 });
  const points = Array.from({ length: 12 }, (_, i) => at(i));
  const bounds = [0, 0, 260, 200], places = placeLabels(points, bounds);
  const boxes = places.map((place, i) => {
    if (!place) return null;
    const { width } = points[i];
    const left = { start: place.x, end: place.x - width, middle: place.x - width / 2 }[place.anchor];
    return [left, place.y - 12, left + width, place.y + 3];
  }).filter(Boolean);
  assert.ok(boxes.length >= 8);
  const apart = (a, b) => a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
  boxes.forEach((box, i) => {
    assert.ok(box[0] >= 0 && box[1] >= 0 && box[2] <= 260 && box[3] <= 200);
    for (const other of boxes.slice(i + 1)) assert.ok(apart(box, other));
    for (const { x, y } of points) assert.ok(apart(box, [x - 7, y - 7, x + 7, y + 7]));
  });
});

test("a label avoids bars of intervals, and is left out if there is no room", () => {
  const [free] = placeLabels([{ x: 50, y: 50, width: 40 }], [0, 0, 200, 100]);
  assert.equal(free.anchor, "start");
  const [moved] = placeLabels([{ x: 50, y: 50, width: 40 }], [0, 0, 200, 100], [[70, 30, 76, 70]]);
  assert.equal(moved.anchor, "end");
  assert.deepEqual(placeLabels([{ x: 20, y: 20, width: 90 }], [0, 0, 40, 40]), [null]);
});

// Scatter.

const point = (key, x, y, more = {}) => ({
  key, label: key, x, y, low: null, high: null, own: false, best: false, shape: 0, seeds: [], ...more,
});
const POINTS = [
  point("mpnas", 100, 0.6, { own: true, best: true, low: 0.5, high: 0.7, seeds: [{ x: 100, y: 0.58, name: "seed 0" }, { x: 100, y: 0.62, name: "seed 1" }] }),
  point("bundle", 400, 0.61),
  point("unknown", null, 0.2),
];
const plot = (more = {}) => {
  const model = new Model({
    content: { title: "t", x_title: "parameters", y_title: "top-1", points: POINTS, front: [[100, 0.6]], note: "" },
    selected: "", x_log: false, ...more,
  });
  return { model, end: scatter.render({ model, el }) };
};

test("all points and seeds are in range, wide intervals may end outside", () => {
  const wide = [point("a", 1, 0.5, { low: -3, high: 4 }), point("b", 2, 0.6)];
  const [[x0, x1], [y0, y1]] = ranges(wide, false);
  assert.ok(x0 < 1 && x1 > 2 && y0 < 0.5 && y1 > 0.6);
  assert.ok(y0 > 0.4 && y1 < 0.7);
  assert.deepEqual(ranges([point("a", 5, 0.5)], true)[0].map((v) => v > 4 && v < 6), [true, true]);
});

test("a click, Enter and a second click select a point and deselect it", () => {
  const { model } = plot();
  const points = all(".point");
  assert.deepEqual(points.map((p) => p.getAttribute("aria-label").split(":")[0]), ["mpnas", "bundle"]);
  points[1].dispatchEvent(new window.MouseEvent("click", { bubbles: true }));
  assert.equal(model.get("selected"), "bundle");
  assert.equal(points[1].getAttribute("aria-pressed"), "true");
  assert.match(el.querySelector(".card").textContent, /^bundle 61.0 %, 400 parameters/);
  press(points[1], "Enter");
  assert.equal(model.get("selected"), "");
  model.set("selected", "mpnas");
  assert.equal(points[0].getAttribute("aria-pressed"), "true");
});

test("keys move between points and zoom; a selection does not draw again", () => {
  const { model } = plot();
  all(".point")[0].focus();
  press(document.activeElement, "ArrowRight");
  assert.match(document.activeElement.getAttribute("aria-label"), /^bundle/);
  const [reset] = all("button").filter((b) => b.textContent === "See all");
  assert.equal(reset.disabled, true);
  press(document.activeElement, "+");
  assert.equal(reset.disabled, false);
  press(el.querySelector("svg"), "0");
  assert.equal(reset.disabled, true);
  const before = all(".point");
  model.set("selected", "mpnas");
  assert.deepEqual(all(".point"), before);
  assert.equal(all(".seed").length, 2);
});

test("a point is told with its interval", () => {
  assert.equal(words(POINTS[0], "parameters"), "60.0 % (95 % interval 50.0 % to 70.0 %), 100 parameters, 2 seeds");
});

// Table.

const ROWS = [
  { key: "x", cells: [{ value: "beta", text: "beta" }, { value: 0.5, text: "50.0", low: 0.4, high: 0.6 }] },
  { key: "y", cells: [{ value: "alpha", text: "alpha" }, { value: null, text: "" }] },
  { key: "z", cells: [{ value: "gamma", text: "gamma" }, { value: 0.7, text: "70.0", low: 0.69, high: 0.71, mark: "best" }] },
];
const listing = (more = {}) => {
  const columns = [{ name: "name", kind: "text" }, { name: "accuracy", kind: "number" }];
  const model = new Model({ content: { title: "t", columns, rows: ROWS, search: "find" }, selected: "", order: [1, "descending"], ...more });
  table.render({ model, el });
  return model;
};
const keys = () => all("tbody th").map((th) => th.textContent);

test("rows sort by number and by text, and those without a value come last", () => {
  assert.deepEqual(sorted(ROWS, 1, "ascending").map((r) => r.key), ["x", "z", "y"]);
  assert.deepEqual(sorted(ROWS, 1, "descending").map((r) => r.key), ["z", "x", "y"]);
  assert.deepEqual(sorted(ROWS, 0, "ascending").map((r) => r.key), ["y", "x", "z"]);
  assert.deepEqual(span(ROWS, 1), [0.4, 0.71]);
  assert.equal(span(ROWS, 0), null);
});

test("a header sorts, says so, and turns the order at the second click", () => {
  const model = listing();
  assert.deepEqual(keys(), ["gamma", "beta", "alpha"]);
  const [first, second] = all("thead th");
  assert.equal(second.getAttribute("aria-sort"), "descending");
  first.querySelector("button").click();
  assert.deepEqual(model.get("order"), [0, "ascending"]);
  assert.deepEqual(keys(), ["alpha", "beta", "gamma"]);
  assert.equal(second.hasAttribute("aria-sort"), false);
  first.querySelector("button").click();
  assert.deepEqual(keys(), ["gamma", "beta", "alpha"]);
});

test("a row is selected from both sides, and a search hides others", () => {
  const model = listing();
  all("tbody tr")[0].click();
  assert.equal(model.get("selected"), "z");
  model.set("selected", "x");
  assert.deepEqual(all("tr.chosen th").map((th) => th.textContent), ["beta"]);
  const search = el.querySelector("input");
  search.value = "ALPH";
  search.dispatchEvent(new window.Event("input"));
  assert.deepEqual(all("tbody tr").filter((tr) => !tr.hidden).map((tr) => tr.querySelector("th").textContent), ["alpha"]);
  assert.equal(el.querySelector("[role=status]").textContent, "1 of 3");
});

// Matrix.

const grid = (more = {}) => {
  const content = {
    title: "m", rows: ["a", "b", "c"], columns: ["a", "b", "c"], heads: true, small: false,
    values: [[null, 0.2, 0.4], [0.2, null, 0.9], [0.4, 0.9, null]],
    texts: [["", ".2", ".4"], [".2", "", ".9"], [".4", ".9", ""]],
    notes: [["", "+1", "+2"], ["+1", "", "+3"], ["+2", "+3", ""]], ...more,
  };
  const model = new Model({ content, selected: [], emphasis: {} });
  matrix.render({ model, el });
  return model;
};
const cell = (r, c) => el.querySelectorAll("tbody tr")[r].children[c + 1];

test("the grid has one tab stop, and arrow keys skip its diagonal", () => {
  const model = grid();
  assert.equal(all("[tabindex='0']").length, 1);
  cell(0, 1).focus();
  press(cell(0, 1), "ArrowDown");
  assert.equal(document.activeElement, cell(2, 1));
  assert.equal(all("[tabindex='0']").length, 1);
  press(document.activeElement, "Enter");
  assert.deepEqual(model.get("selected"), [2, 1]);
  assert.equal(cell(2, 1).getAttribute("aria-selected"), "true");
  press(document.activeElement, "Enter");
  assert.deepEqual(model.get("selected"), []);
});

test("keys reach the heads, which choose a row or a column", () => {
  assert.deepEqual(next([0, 0], "ArrowUp", 3, 3, true), [-1, 0]);
  assert.deepEqual(next([0, 0], "ArrowUp", 3, 3, false), [0, 0]);
  assert.deepEqual(next([-1, 0], "ArrowLeft", 3, 3, true), [-1, 0]);
  assert.equal(next([0, 0], "x", 3, 3, true), null);
  const model = grid();
  all("thead th")[1].click();
  all("tbody th")[2].click();
  assert.deepEqual(model.sent, [{ choose: "column", index: 1 }, { choose: "row", index: 2 }]);
});

test("a selection and new values keep the cells; values are told on hover", () => {
  const model = grid();
  const before = all("tbody td");
  model.set("selected", [1, 2]);
  model.set("emphasis", { rows: [1], columns: [1] });
  assert.equal(all("td.on").length, 5);
  const content = model.get("content");
  model.set("content", { ...content, texts: [["", ".3", ".4"], [".3", "", ".9"], [".4", ".9", ""]] });
  assert.deepEqual(all("tbody td"), before);
  assert.equal(cell(0, 1).firstChild.textContent, ".3");
  cell(0, 1).dispatchEvent(new window.MouseEvent("pointerover", { bubbles: true }));
  assert.equal(el.querySelector(".card").textContent, "a, b: .3 (+1)");
  cell(0, 0).click();
  assert.deepEqual(model.get("selected"), [1, 2]);
});

// Gallery.

const page = (first = 0, more = {}) => {
  const one = (i) => ({ alt: `image ${first + i}`, lines: ["cat", "✗ dog 80 %"], right: false });
  const shown = [0, 1, 2].map(one);
  const model = new Model({
    content: { total: 8, first, items: shown, grid: [3, 1] },
    sprite: new Uint8Array(1), large: new Uint8Array(1), first, capacity: 3, opened: -1, details: {}, ...more,
  });
  gallery.render({ model, el });
  return model;
};
const buttons = () => Object.fromEntries(all("[aria-label='pages of images'] button").map((b) => [b.textContent, b]));

test("pages turn to the first, the last and the next ones", () => {
  assert.deepEqual(["First", "Previous", "Next", "Last"].map((n) => turned(n, 30, 10, 64)), [0, 20, 40, 60]);
  assert.equal(turned("Last", 0, 10, 60), 50);
  assert.equal(turned("Last", 0, 10, 0), 0);
  assert.ok(capacity(600) < capacity(2560) && capacity(100) === 6);
});

test("the gallery says its position and asks for other pages", () => {
  const model = page(0, { capacity: capacity(760) });
  assert.equal(el.querySelector("[role=status]").textContent, "images 1 to 3 of 8");
  assert.equal(buttons().First.disabled, true);
  model.set("capacity", 3);
  buttons().Last.click();
  assert.equal(model.get("first"), 6);
  press(all(".gallery button")[0], "PageUp");
  assert.equal(model.get("first"), 3);
});

test("an image is enlarged, walks on with keys, and gives the focus back", () => {
  const model = page();
  all(".gallery button")[1].click();
  assert.equal(model.get("opened"), 1);
  const top = [{ name: "dog", share: 0.8, is: false }];
  const details = (index) => ({ index, total: 8, title: "cat", facts: "f", alt: "a", top });
  model.set("details", details(1));
  const dialog = el.querySelector("dialog");
  assert.equal(dialog.open, true);
  press(dialog, "ArrowRight");
  assert.equal(model.get("opened"), 2);
  model.set("details", details(2));
  dialog.close();
  assert.equal(model.get("opened"), -1);
  assert.equal(document.activeElement, all(".gallery button")[2]);
});

test("without images there is a sentence instead of a page", () => {
  page(0, { content: { total: 0, first: 0, items: [], grid: [1, 1] } });
  assert.equal(el.querySelector("p").hidden, false);
  assert.equal(el.querySelector("ul").hidden, true);
});

// The map of a confusion matrix.

const bytes = (...numbers) => {
  const data = new Int32Array(numbers);
  return new DataView(data.buffer);
};

test("cells are read from their bytes", () => {
  const rows = cellsOf(bytes(0, 0, 5, 0, 2, 1, 2, 1, 7), 3);
  assert.deepEqual(rows.map((row) => [...row]), [[[0, 5], [2, 1]], [], [[1, 7]]]);
});

test("the window zooms around a point, stays inside, and reaches a cell", () => {
  const seen = new Window(300, 600);
  assert.deepEqual(seen.at(599, 0), [0, 299]);
  assert.equal(seen.at(600, 0), null);
  seen.zoom(4, 300, 150);
  assert.equal(seen.cell, 8);
  assert.deepEqual(seen.at(300, 150), [75, 150]);
  assert.deepEqual(seen.at(...seen.middle(80, 160)), [80, 160]);
  seen.reach(299, 0);
  assert.deepEqual(seen.at(4, 596), [299, 0]);
  seen.zoom(1e-9);
  assert.deepEqual([seen.left, seen.top, seen.cell], [0, 0, 2]);
});

test("keys move in the map, and Enter opens images if there are some", () => {
  const model = new Model({ content: { classes: ["a", "b", "c"], title: "t" }, counts: bytes(0, 0, 5, 0, 2, 1), selected: [], marked: -1 });
  confusion.render({ model, el });
  const canvas = el.querySelector("canvas"), card = el.querySelector("[role=status]");
  press(canvas, "ArrowRight");
  assert.equal(card.textContent, "a predicted as b: 0 images, 0.0 % of the class");
  press(canvas, "Enter");
  assert.deepEqual(model.get("selected"), []);
  press(canvas, "ArrowRight");
  press(canvas, "Enter");
  assert.deepEqual(model.get("selected"), [0, 2]);
  press(canvas, "ArrowDown", { shiftKey: true });
  assert.equal(card.textContent, "c predicted as c: 0 images");
});
