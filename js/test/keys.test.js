import assert from "node:assert/strict";
import { test } from "node:test";

import { element, keepKeys } from "../src/dom.js";
import { newDocument } from "./dom.js";

test("a control with the focus keeps its keys, and other parts of the page do not", () => {
  const body = newDocument();
  const [own, drawn, other] = ["own", "drawn", "other"].map((id) => element("button", { id }));
  const root = element("div", { class: "mpnas" }, [own]);
  body.append(element("div", { class: "mpnas-explorer" }, [root, drawn]), other);
  keepKeys(root);
  for (const one of [own, drawn, other]) one.focus();
  const marked = [...document.querySelectorAll("[data-lm-suppress-shortcuts]")];
  assert.deepEqual(marked, [root, own, drawn]);
});
