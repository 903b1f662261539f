import assert from "node:assert/strict";
import { test } from "node:test";

import { decision, verdict } from "../src/chart/choices.js";

test("equal probabilities are a tie and no choice", () => {
  assert.deepEqual(decision([0.25, 0.25, 0.25, 0.25]), { best: 0, tied: true, decided: false });
  assert.equal(verdict([0.25, 0.25, 0.25, 0.25], ["a", "b", "c", "d"]), "undecided");
});

test("a likeliest choice is decided only if little else is likely", () => {
  assert.equal(verdict([0.4, 0.3, 0.3], ["a", "b", "c"]), "a (undecided)");
  assert.equal(verdict([0.01, 0.98, 0.01], ["a", "b", "c"]), "b");
  assert.equal(verdict([1], ["a"]), "a");
});
