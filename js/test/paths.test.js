import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { layOut, line, nearest } from "../src/paths/layout.js";
import { cardOf, derive, differs, highlighted, kindOf, sizesOf } from "../src/paths/state.js";
import paths from "../src/views/paths.js";
import { Model, newDocument } from "./dom.js";

const node = (block, more = {}) =>
  ({ block, about: `block ${block}`, copied: false, parameters: 1000, multiply_adds: 2e6, cost: null, ...more });

// Three domains through stem, two searched layers and head. At the first step nobody has decided.
const GRAPH = {
  layers: ["stem", "L1", "L2", "head"],
  rows: ["k3", "k5", "own", "zero"],
  domains: ["a", "b", "c"],
  colors: { a: "#a00", b: "#0a0", c: "#00a" },
  nodes: [[node("conv3")], [node("k3"), node("k5"), node("own", { copied: true })],
    [node("k3"), node("k5"), node("zero")], [node("conv1")]],
  steps: [10, 20],
  paths: [[[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 1, 0], [0, 0, 2, 0], [0, 2, 1, 0]]],
  undecided: [[[1, 2], [1, 2], [1, 2]], [[], [], [2]]],
  unit: "multiply-adds",
  targets: [100, 100, 200],
};
const SIZES = {
  parameters: 1000, multiply_adds: 500, similarity: 0.5, domains: [120, 90, 90], costs: [120, 90, 90],
};
const CHOSEN = {
  shown: ["a", "b", "c"], compare: [], at: 1, pinned: [], domain: "", probabilities: null,
  edited: { paths: null, now: SIZES, found: SIZES, undo: false },
};
const state = (more = {}) => derive(GRAPH, { ...CHOSEN, ...more });
const EDITED = {
  paths: [[0, 1, 1, 0], [0, 0, 2, 0], [0, 2, 1, 0]],
  now: { ...SIZES, parameters: 1100, costs: [90, 90, 90] }, found: SIZES, undo: true,
};

test("at the first step nobody shares a searched node", () => {
  const first = state({ at: 0 });
  assert.equal(kindOf(first, [1, 0]), "undecided");
  assert.equal(kindOf(first, [0, 0]), "shared");
  assert.match(cardOf(first, [1, 0]).users, /^Likeliest for a, b and c, which are undecided here\.$/);
});

test("kinds of nodes follow from those who have decided", () => {
  assert.equal(kindOf(state(), [1, 0]), "shared");
  assert.equal(kindOf(state(), [1, 2]), "private");
  assert.equal(kindOf(state(), [1, 1]), "unused");
  assert.equal(kindOf(state(), [2, 1]), "private"); // c is undecided there
  assert.equal(kindOf(state({ shown: ["c"] }), [2, 1]), "undecided");
});

test("the card of a node is true at every step, for hidden domains, and in a comparison", () => {
  const users = (more) => cardOf(state(more), [1, 0]).users;
  assert.equal(users(), "Shared by a and b.");
  assert.equal(users({ shown: ["b", "c"] }), "Private to b.");
  assert.equal(users({ shown: ["c"] }), "No shown domain uses it.");
  assert.equal(users({ compare: ["a", "c"] }), "Private to a.");
  assert.equal(cardOf(state(), [1, 1]).users, "No domain uses it.");
  assert.equal(cardOf(state(), [2, 2]).users, "Skipped by b.");
  assert.equal(cardOf(state(), [2, 2]).what, "The layer is skipped.");
  assert.deepEqual(cardOf(state(), [1, 0]).facts, [["parameters", "1 k"], ["multiply-adds", "2 M"]]);
});

test("the card has the probability of the choice at this step", () => {
  const probabilities = new DataView(new ArrayBuffer(2 * 3 * 8));
  const at = (snapshot, d, candidate) => (snapshot * 3 + d) * 8 + candidate;
  probabilities.setUint8(at(1, 1, 1), 150); // b, L1 k3
  probabilities.setUint8(at(1, 2, 1), 41);
  const card = cardOf(state({ probabilities }), [1, 0]);
  assert.deepEqual(card.rows.map((row) => [row.domain, row.takes, row.probability]), [
    [1, true, 0.75], [0, true, 0], [2, false, 0.205],
  ]);
  assert.equal(card.when, "Probability at step 20");
  assert.equal(cardOf(state({ probabilities, at: 0 }), [1, 0]).rows[0].probability, 0);
  assert.deepEqual(cardOf(state({ probabilities }), [0, 0]).rows, []); // nothing to choose
});

test("pins highlight paths through a node of every layer that has one, and say so", () => {
  const pins = (...pinned) => state({ pinned });
  assert.deepEqual(highlighted(pins([1, "k3"]), -1), [0, 1]);
  assert.deepEqual(highlighted(pins([1, "k3"], [2, "zero"]), -1), [1]);
  assert.deepEqual(highlighted(pins([1, "k3"], [1, "own"]), -1), [0, 1, 2]);
  assert.deepEqual(highlighted(pins([1, "k5"]), -1), []);
  assert.match(cardOf(pins([1, "k3"], [2, "zero"]), [1, 0]).pins, /L1 k3 and L2 zero.*all of these nodes \(b\)/);
  assert.match(cardOf(pins([1, "k3"], [1, "own"]), [1, 0]).pins, /any of these nodes/);
  assert.deepEqual(highlighted(pins([1, "k3"]), 2), [2]); // the line under the pointer
  assert.deepEqual(highlighted(state({ domain: "b" }), -1), [1]);
  assert.equal(highlighted(state(), -1), null);
});

test("two domains differ in nodes that one of them uses, and in private copies", () => {
  const two = state({ compare: ["a", "b"] });
  assert.equal(differs(two, [1, 0]), false);
  assert.equal(differs(two, [2, 1]), true);
  assert.equal(differs(state(), [2, 1]), false);
});

test("an edited path is shown at the last step, and counts as decided", () => {
  assert.equal(cardOf(state({ edited: EDITED }), [1, 1]).users, "Private to a.");
  assert.equal(cardOf(state({ edited: EDITED, at: 0 }), [1, 1]).users, "No domain uses it.");
  const moved = { ...EDITED, paths: [[0, 0, 1, 0], [0, 0, 2, 0], [0, 2, 0, 0]] };
  assert.equal(kindOf(state({ edited: moved }), [2, 0]), "private"); // c was undecided in L2
});

test("sizes have differences to the found paths, and shares of the target", () => {
  const row = (rows, name) => rows.find((one) => one.name === name);
  assert.equal(row(sizesOf(state()), "parameters, union").change, "");
  const rows = sizesOf(state({ edited: EDITED }));
  assert.equal(row(rows, "parameters, union").change, "+100 (+10.0 %)");
  assert.equal(row(rows, "similarity, mean").change, "no change");
  assert.deepEqual(row(rows, "multiply-adds, a"),
    { name: "multiply-adds, a", now: "90", target: "90 %", above: false, change: "−30 (−25.0 %)" });
  assert.equal(row(rows, "multiply-adds, b"), undefined);
  assert.equal(row(sizesOf(state()), "multiply-adds, mean path").target, "75 %");
});

test("columns fill a wide room and keep a least width in a narrow one", () => {
  const [narrow, wide] = [200, 1200].map((room) => layOut(GRAPH, room));
  assert.equal(wide.left + wide.width > 700 && wide.left + wide.width <= 1200, true);
  assert.equal(narrow.column, 46);
  assert.deepEqual(nearest(GRAPH, wide, wide.at([2, 2])), [2, 2]);
  assert.deepEqual(nearest(GRAPH, wide, [0, 1e4], 1), [1, 2]);
});

test("a line is dashed before and after an undecided choice only", () => {
  const layout = layOut(GRAPH, 900);
  const parts = (text) => text.split("M").length - 1;
  const decided = line(layout, [0, 0, 1, 0], 0, 3, () => false);
  assert.deepEqual([parts(decided.solid), parts(decided.dashed)], [4, 0]);
  const open = line(layout, [0, 0, 1, 0], 0, 3, (layer) => layer === 2);
  assert.deepEqual([parts(open.solid), parts(open.dashed)], [2, 2]);
});

// The view ---------------------------------------------------------------------------------------

let el, model;
const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
const find = (layer, block) =>
  [...el.querySelectorAll(".node")].find((one) => one.getAttribute("aria-label").startsWith(`${layer} ${block}:`));
const press = (target, key, more = {}) =>
  target.dispatchEvent(new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));

beforeEach(() => {
  el = newDocument();
  globalThis.ResizeObserver = class { observe() {} disconnect() {} };
  model = new Model({ graph: GRAPH, ...CHOSEN, refused: "" });
  paths.render({ model, el });
});

test("the card of a pinned node follows the slider", async () => {
  const card = el.querySelector(".card");
  assert.match(card.textContent, /Point at a node/);
  press(find("L1", "k3"), "Enter");
  await frame();
  assert.deepEqual(model.get("pinned"), [[1, "k3"]]);
  assert.match(card.textContent, /Shared by a and b\./);
  model.set("at", 0);
  await frame();
  assert.match(card.textContent, /which are undecided here/);
  assert.equal(find("L1", "k3").getAttribute("class").trim(), "node undecided pinned");
  press(find("L1", "k3"), "Escape");
  assert.deepEqual(model.get("pinned"), []);
});

test("Shift+Enter moves the chosen domain, and says what to do if none is chosen", async () => {
  press(find("L1", "k5"), "Enter", { shiftKey: true });
  assert.match(el.querySelector(".problem").textContent, /Choose a domain first/);
  assert.deepEqual(model.sent, []);
  model.set("domain", "b");
  await frame();
  press(find("L1", "k5"), "Enter", { shiftKey: true });
  assert.deepEqual(model.sent, [{ do: "move", domain: "b", layer: 1, block: "k5" }]);
  assert.equal(el.querySelector(".problem").hidden, true);
  press(el.querySelector(".paths"), "z", { ctrlKey: true });
  assert.deepEqual(model.sent.at(-1), { do: "undo" });
});

test("the list in the card moves the chosen domain", async () => {
  model.set({ domain: "c", pinned: [[2, "k3"]] });
  await frame();
  const list = el.querySelector(".take select");
  assert.equal(list.options[list.selectedIndex].text, "k5");
  list.value = "2";
  list.dispatchEvent(new window.Event("change"));
  assert.deepEqual(model.sent, [{ do: "move", domain: "c", layer: 2, block: "zero" }]);
});

test("moves are marked, counted and can be taken back", async () => {
  const [undo, , all] = el.querySelectorAll("section button");
  assert.equal(undo.disabled && all.disabled, true);
  model.set("edited", EDITED);
  await frame();
  assert.equal(el.querySelector(".edited").textContent, "edited: 1 move");
  assert.equal(el.querySelectorAll("g.moved[aria-hidden] rect").length, 1);
  undo.click();
  all.click();
  assert.deepEqual(model.sent, [{ do: "undo" }, { do: "reset", domain: "" }]);
  model.set("at", 0);
  await frame();
  assert.equal(el.querySelector(".edited").textContent, "edited: 1 move, shown at the last step");
  model.set("refused", "no such path.");
  assert.equal(el.querySelector(".problem").textContent, "no such path.");
});

test("the domains are one stop of the tab key, and arrow keys move among them", () => {
  const bar = el.querySelector("[role=toolbar]");
  const stops = () => [...bar.querySelectorAll("input, button")].filter((one) => one.tabIndex === 0);
  assert.equal(stops().length, 1);
  stops()[0].focus();
  press(document.activeElement, "ArrowRight");
  assert.equal(document.activeElement.textContent, "a");
  document.activeElement.click();
  assert.equal(model.get("domain"), "a");
  press(document.activeElement, "End");
  document.activeElement.click();
  assert.deepEqual(model.get("shown"), []);
});
