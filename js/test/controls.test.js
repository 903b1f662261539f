import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import controls from "../src/views/controls.js";
import { Model, newDocument } from "./dom.js";

let el, model;
const named = (text) => [...el.querySelectorAll("button")].find((b) => b.textContent === text);
function render(state) {
  el = newDocument();
  model = new Model({
    stage: "search", state: "running", status: "step 3 of 9", progress: 0.3, can: ["pause", "stop"],
    foreign: false, ...state,
  });
  controls.render({ model, el });
}
beforeEach(() => render({}));

test("buttons ask Python to pause, resume and stop", () => {
  named("Pause").click();
  model.set({ state: "paused" });
  named("Resume").click();
  named("Stop").click();
  assert.deepEqual(model.sent, [{ do: "pause" }, { do: "resume" }, { do: "stop" }]);
  assert.equal(el.querySelector(".badge").textContent, "paused");
});

test("what cannot be done has a disabled button, and a finished stage has no buttons", () => {
  model.set({ state: "stopping", can: [] });
  assert.equal(named("Pause").disabled && named("Stop").disabled, true);
  assert.equal(named("Pause").hidden || named("Stop").hidden, false);
  model.set({ state: "finished" });
  assert.equal(named("Pause").hidden && named("Stop").hidden, true);
  model.set({ state: "running", can: ["pause", "stop"] });
  assert.equal(named("Pause").hidden || named("Stop").hidden, false);
});

test("a stage of another process is stopped after a second click only, and never paused", () => {
  render({ foreign: true, can: ["stop"] });
  assert.equal(named("Pause").hidden, true);
  named("Stop").click();
  assert.deepEqual(model.sent, []);
  named("Keep it running").click();
  assert.deepEqual(model.sent, []);
  named("Stop").click();
  named("Stop it").click();
  assert.deepEqual(model.sent, [{ do: "stop" }]);
});

test("the question goes away when the stage has ended", () => {
  render({ foreign: true, can: ["stop"] });
  named("Stop").click();
  model.set({ state: "finished", can: [] });
  assert.equal(named("Stop it").parentElement.hidden, true);
});
