import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bounds, extent, nearest, numbersOf, positive, shifted, signs, smoothed, thinned, valueAt, zoomed,
} from "../src/chart/numbers.js";

test("bytes of float32 become numbers, and nan a missing value", () => {
  const bytes = new Uint8Array([9, 9, 9, ...new Uint8Array(new Float32Array([1.5, NaN, -2]).buffer)]);
  assert.deepEqual(numbersOf(new DataView(bytes.buffer, 3)), [1.5, null, -2]);
});

test("smoothing is a moving average without bias, and skips missing values", () => {
  const line = [4, null, 2, 8];
  assert.equal(smoothed(line, 0), line);
  const half = smoothed(line, 0.5);
  assert.deepEqual(half.slice(0, 2), [4, null]);
  assert.ok(Math.abs(half[2] - (0.25 * 4 + 0.5 * 2) / 0.75) < 1e-12);
  assert.deepEqual(smoothed([3, 3, 3], 0.9).map((v) => Math.round(v * 1e9) / 1e9), [3, 3, 3]);
});

test("a log axis has only positive values, and the others are counted", () => {
  assert.deepEqual(positive([1, 0, -2, null, 3]), [1, null, null, null, 3]);
  assert.deepEqual(signs([[1, 0, null], [-2, 4]]), { below: 2, above: 2 });
  assert.deepEqual(signs([[0, null]]), { below: 1, above: 0 });
});

test("an axis shows all values and reference lines", () => {
  const [low, high] = bounds(1, 3, [9], false);
  assert.ok(low < 1 && low > 0 && high > 9);
  assert.deepEqual(bounds(null, null, [], false), [0, 1]);
  const [same, other] = bounds(5, 5, [], false);
  assert.ok(same < 5 && other > 5);
  assert.deepEqual(bounds(10, 1000, [-5], true), [9, 2000]);
  assert.deepEqual(bounds(3, 3, [], true), [2, 4]);
});

test("the nearest step is found, also outside of the steps", () => {
  const steps = [1, 4, 6, 100];
  assert.deepEqual([-9, 1, 2, 3, 5.1, 60, 999].map((x) => nearest(steps, x)), [0, 0, 0, 1, 2, 3, 3]);
  assert.equal(nearest([7], 1), 0);
});

test("a step without a value has the last one before it", () => {
  assert.deepEqual([0, 1, 2, 3].map((i) => valueAt([null, 5, null, 7], i)), [null, 5, 5, 7]);
});

test("a zoom keeps the place of the pointer and stays inside the steps", () => {
  assert.deepEqual(zoomed([0, 100], [0, 100], 20, 0.5, 4), [10, 60]);
  assert.deepEqual(zoomed([10, 60], [0, 100], 10, 0.5, 4), [10, 35]);
  assert.equal(zoomed([10, 60], [0, 100], 30, 2, 4), null);
  const [from, to] = zoomed([40, 42], [0, 100], 41, 0.1, 4);
  assert.equal(to - from, 4);
  assert.deepEqual(shifted([10, 30], [0, 100], -50), [0, 20]);
  assert.deepEqual(shifted([10, 30], [0, 100], 500), [80, 100]);
});

test("the steps of a chart are those of all its panels", () => {
  assert.deepEqual(extent([{ steps: [5, 9] }, { steps: [] }, { steps: [2, 3] }]), [2, 9]);
  assert.equal(extent([{ steps: [] }]), null);
});

test("thinned lines keep their extremes and the order of them", () => {
  const steps = Array.from({ length: 1000 }, (_, i) => i + 1);
  const line = steps.map((s) => (s === 500 ? 9 : s === 700 ? -9 : Math.sin(s)));
  const [places, thin, empty] = thinned(steps, [line, steps.map(() => null)], [-Infinity, Infinity], 100);
  assert.equal(places.length, 100);
  assert.ok(places.every((p, i) => !i || p > places[i - 1]));
  assert.equal(Math.max(...thin), 9);
  assert.equal(Math.min(...thin), -9);
  assert.ok(Math.abs(places[thin.indexOf(9)] - 500) <= 20);
  assert.ok(empty.every((v) => v === null));
});

test("few values stay as they are, with a neighbour on both sides of the part that is shown", () => {
  const steps = [1, 2, 3, 4, 5, 6], line = [1, null, 3, 4, 5, 6];
  assert.deepEqual(thinned(steps, [line], [3, 4], 100), [[2, 3, 4, 5], [null, 3, 4, 5]]);
  assert.deepEqual(thinned(steps, [line], [-Infinity, Infinity], 100), [steps, line]);
});
