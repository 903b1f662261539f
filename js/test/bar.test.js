import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import bar from "../src/views/bar.js";
import { Model, newDocument } from "./dom.js";

let el, model;
beforeEach(() => {
  el = newDocument();
  model = new Model({ title: "Paths", busy: false, problem: "" });
  bar.render({ model, el });
});

test("a button asks Python for what it exports", () => {
  for (const button of el.querySelectorAll("button")) button.click();
  assert.deepEqual(model.sent, [{ do: "svg" }, { do: "png" }, { do: "csv" }, { do: "code" }]);
});

test("an error is shown until the next answer", () => {
  const alert = el.querySelector("[role=alert]");
  assert.equal(alert.hidden, true);
  model.set("problem", "MpnasError: no such domain");
  assert.equal(alert.hidden, false);
  assert.equal(alert.textContent, "MpnasError: no such domain");
  model.set("problem", "");
  assert.equal(alert.hidden, true);
});

test("code that cannot be copied is shown and selected", async () => {
  model.emit("msg:custom", { kind: "code", text: "import mpnas_kit as mk" }, []);
  await new Promise((done) => setTimeout(done, 10));
  const code = el.querySelector("textarea");
  assert.equal(code.hidden, false);
  assert.equal(code.value, "import mpnas_kit as mk");
});

test("an answer that takes long is marked", () => {
  const root = el.querySelector(".bar");
  model.set("busy", true);
  assert.equal(root.classList.contains("busy"), true);
  model.set("busy", false);
  assert.equal(root.classList.contains("busy"), false);
});
