import assert from "node:assert/strict";
import { test } from "node:test";

import { words } from "../src/views/focus.js";
import { amount, percent } from "../src/words.js";

test("amounts have three digits and a unit", () => {
  assert.equal(amount(1234567), "1.23 M");
  assert.equal(amount(950), "950");
  assert.equal(amount(0.12345), "0.123");
  assert.equal(amount(null), "");
  assert.equal(percent(0.1234), "12.3 %");
});

test("what is chosen is said in words", () => {
  const none = { pair: [], node: [], search_step: null, train_step: null };
  assert.equal(words(none), "");
  const all = { pair: ["a", "b"], node: [2, "k3e6", "L2"], search_step: 5, train_step: null };
  assert.equal(words(all), "a and b · node L2 k3e6 · step 5 of the search");
});
