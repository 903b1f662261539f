import assert from "node:assert/strict";
import { test } from "node:test";

import slider, { placeOf, valueAt } from "../src/views/slider.js";
import { Model, newDocument } from "./dom.js";

const LOG = { min: 0.05, max: 10, log: true }, LINEAR = { min: 0, max: 0.99, log: false };

test("the ends of the slider are the ends of the range, and places follow values", () => {
  for (const range of [LOG, LINEAR]) {
    assert.equal(valueAt(0, range), range.min);
    assert.equal(valueAt(200, range), range.max);
    assert.equal(Math.round(placeOf(valueAt(70, range), range)), 70);
  }
  assert.equal(valueAt(100, LOG), 0.707); // the geometric mean
});

test("a value is written when the slider is released, and shown before", () => {
  const el = newDocument();
  const model = new Model({ label: "decay", value: 0.95, ...LINEAR });
  slider.render({ model, el });
  const input = el.querySelector("input"), output = el.querySelector("output");
  assert.equal(input.closest("label").textContent, "decay0.95");
  input.value = 100;
  input.dispatchEvent(new Event("input"));
  assert.equal(output.textContent, "0.495");
  assert.equal(model.get("value"), 0.95);
  input.dispatchEvent(new Event("change"));
  assert.equal(model.get("value"), 0.495);
  assert.equal(model.saved, 1);
  model.set("value", 0.25);
  assert.equal(input.getAttribute("aria-valuetext"), "0.25");
});
