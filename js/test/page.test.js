import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { change, compareRuns, differences, results } from "../src/page/compare.js";
import { sizeOf, svgText, withoutVariables } from "../src/page/figures.js";
import { fileName, slug } from "../src/page/saving.js";
import { addTableTools, csvOf, numberOf, orderOf, rowsOf } from "../src/page/tables.js";
import { indexAfter, placed, showTips } from "../src/page/tips.js";
import { newDocument } from "./dom.js";

let body;
beforeEach(() => {
  body = newDocument();
  globalThis.addEventListener = window.addEventListener.bind(window);
  globalThis.innerHeight = 600;
  globalThis.XMLSerializer = window.XMLSerializer;
});

const TABLE = `<div class="table"><table><caption>Accuracy. By domain.</caption>
  <thead><tr><td></td><th colspan="2">results</th></tr>
  <tr><th data-name="domain">domain</th><th class="number" data-name="test_mean">test mean</th>
  <th class="number" data-name="size">size</th></tr></thead>
  <tbody><tr><th>b, c</th><td data-value="0.512345" data-spread="0.01">51.2%<svg></svg> <small>± 1.0%</small></td>
  <td data-value="2">2</td></tr>
  <tr><th>a</th><td data-value="0.9">90.0%<span class="unseen"> (best)</span></td><td data-value="10">10</td></tr>
  <tr><th>d</th><td data-value="">–</td><td data-value="10">10</td></tr></tbody></table></div>`;

function shown() {
  body.innerHTML = TABLE;
  const frame = body.querySelector(".table");
  return [frame, frame.querySelector("table")];
}

test("a table is saved with the names of its columns, exact values and spreads", () => {
  const [, table] = shown();
  const rows = rowsOf(table);
  assert.deepEqual(rows, [
    ["domain", "test_mean", "test_mean spread", "size"],
    ["b, c", "0.512345", "0.01", "2"],
    ["a", "0.9", "", "10"],
    ["d", "", "", "10"],
  ]);
  assert.equal(csvOf(rows.slice(1, 2)), '"b, c",0.512345,0.01,2\r\n');
  assert.equal(csvOf([['say "x"', "two\nlines"]]), '"say ""x""","two\nlines"\r\n');
});

test("a heading sorts by exact values, then the other way, then as it was", () => {
  const [frame, table] = shown();
  addTableTools(frame);
  const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  const [names, tests, sizes] = [...table.querySelectorAll("button.sort")];
  tests.click();
  assert.deepEqual(order(), ["a", "b, c", "d"]);
  assert.equal(tests.parentElement.getAttribute("aria-sort"), "descending");
  tests.click();
  assert.deepEqual(order(), ["b, c", "a", "d"], "what is not known stays last");
  sizes.click();
  assert.deepEqual(order(), ["a", "d", "b, c"], "equal values keep their order; 10 is above 2");
  assert.equal(tests.parentElement.hasAttribute("aria-sort"), false);
  names.click();
  assert.deepEqual(order(), ["a", "b, c", "d"]);
  names.click();
  names.click();
  assert.deepEqual(order(), ["b, c", "a", "d"]);
  assert.deepEqual(rowsOf(table)[0], ["domain", "test_mean", "test_mean spread", "size"]);
});

test("texts that are numbers are sorted as numbers", () => {
  assert.equal(numberOf("1,234"), 1234);
  assert.equal(numberOf("91.2%"), 91.2);
  assert.equal(numberOf("1.5 MB"), 1.5e6);
  assert.equal(numberOf("−0.4 points"), -0.4);
  assert.equal(numberOf("1e-07"), 1e-7);
  assert.ok(Number.isNaN(numberOf("")) && Number.isNaN(numberOf("k3e1")));
  assert.deepEqual(orderOf(["1,000", "9", "–", "x"], "ascending"), [1, 0, 3, 2]);
});

test("a file is named after its page and what it shows", () => {
  assert.equal(slug("Test accuracy, by domain!"), "test-accuracy-by-domain");
  assert.equal(fileName("/out/a%20b.html", "Test: x", "csv"), "a b-test-x.csv");
  assert.equal(fileName("/", "", "svg"), "page.svg");
});

test("variables become the colours beside them", () => {
  assert.equal(withoutVariables("fill: var(--ink, #123456); x"), "fill: #123456; x");
  assert.equal(withoutVariables("var(--a, var(--b, rgb(1 2 3)))"), "rgb(1 2 3)");
});

test("a figure is saved with its size, its fonts and its values", () => {
  assert.deepEqual(sizeOf("display: block; width: 400px; max-width: 100%", "0 0 300 150"), [400, 200]);
  assert.deepEqual(sizeOf("", "0 0 72 36"), [96, 48]);
  body.innerHTML = `<svg viewBox="0 0 72 36" style="width: 96px" tabindex="0">
    <g class="tip current" data-tip="a: 1"><path fill="var(--mpnas-d1, #00ff00)"></path></g></svg>`;
  const text = svgText(body.querySelector("svg"), '"DejaVu Sans", sans-serif');
  assert.match(text, /width="96" height="48"/);
  assert.match(text, /<title>a: 1<\/title>/);
  assert.match(text, /fill="#00ff00"/);
  assert.match(text, /font-family: 'DejaVu Sans', sans-serif/);
  assert.doesNotMatch(text, /var\(|tabindex|data-tip|current/);
});

test("values are shown by pointer and keys, and hidden by Escape", () => {
  body.innerHTML = `<svg><g class="tip"><title>one</title><path></path></g>
    <g class="tip"><title>two</title><path></path></g></svg>`;
  const svg = body.querySelector("svg");
  const [first, second] = svg.querySelectorAll(".tip");
  for (const tip of [first, second]) tip.scrollIntoView = () => {};
  showTips([svg]);
  const box = body.querySelector(".tip-box");
  assert.equal(svg.querySelector("title"), null, "the browser does not show it too");
  first.firstElementChild.dispatchEvent(new MouseEvent("pointermove", { bubbles: true, clientX: 5 }));
  assert.equal(box.textContent, "one");
  const press = (key) => svg.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("ArrowRight");
  assert.equal(box.textContent, "two");
  assert.ok(second.classList.contains("current") && !first.classList.contains("current"));
  press("ArrowRight");
  assert.equal(box.textContent, "two");
  press("Home");
  assert.equal(box.textContent, "one");
  press("Escape");
  assert.equal(box.textContent, "");
  assert.equal(indexAfter("x", 0, 3), null);
  assert.equal(indexAfter("ArrowLeft", -1, 3), 2);
});

test("a value stays inside the window", () => {
  const [size, around] = [{ width: 100, height: 20 }, { width: 300, height: 200 }];
  assert.deepEqual(placed({ x: 150, y: 100 }, size, around), { left: 100, top: 68 });
  assert.deepEqual(placed({ x: 2, y: 10 }, size, around), { left: 4, top: 22 });
  assert.equal(placed({ x: 299, y: 100 }, size, around).left, 196);
});

const RUNS = [
  {
    name: "one",
    settings: { steps: "10", seed: "0" },
    results: [
      { name: "test", kind: "accuracy", value: 0.5, text: "50.0%" },
      { name: "bytes", kind: "size", value: 200, text: "200" },
    ],
  },
  {
    name: "two </script>",
    settings: { steps: "20", seed: "0", extra: "x" },
    results: [{ name: "test", kind: "accuracy", value: 0.4955, text: "49.6%" }],
  },
];

test("two runs are compared: settings that differ, and results with signs", () => {
  assert.deepEqual(differences(...RUNS), [["steps", "10", "20"], ["extra", "–", "x"]]);
  const rows = results(...RUNS);
  assert.deepEqual(rows.map((row) => row[3].text), ["−0.5 points", "–"]);
  assert.equal(change(200, 250, "size").text, "+25.0%");
  assert.equal(change(0.5, 0.50001, "accuracy").text, "0.0 points");
  assert.equal(change(0, 5, "size").text, "–");
});

test("the chosen runs are shown, and names are text", () => {
  body.innerHTML = '<div class="compare"></div><script type="application/json"></script>';
  const [place, data] = body.children;
  data.textContent = JSON.stringify(RUNS);
  compareRuns(place, data);
  const [first, second] = place.querySelectorAll("select");
  assert.deepEqual([first.value, second.value], ["0", "1"]);
  assert.match(place.textContent, /−0\.5 points/);
  assert.equal(place.querySelectorAll("th")[2].textContent, "two </script>");
  second.value = "0";
  second.dispatchEvent(new Event("change"));
  assert.match(place.textContent, /These runs have the same settings/);
  assert.equal(place.querySelectorAll(".table .tools").length, 1);
});
