// The legend: every look of a node or line, with what it means.

import { drawn, element } from "../dom.js";

const KINDS = [
  ["node shared", "shared: several domains use its weights; the number says how many"],
  ["node private", "private: one domain uses it, or each has a copy"],
  ["node undecided", "undecided: the likeliest choice, but the search has not decided"],
  ["node unused", "unused"],
  ["node private pinned", "pinned"],
  ["node private differs", "differs between the two domains that are compared"],
];

const swatch = (children, width = 30) =>
  drawn("svg", { width, height: 20, viewBox: `-${width / 2} -10 ${width} 20`, "aria-hidden": "true" }, children);

export function newLegend() {
  const entries = KINDS.map(([look, text]) => [
    drawn("g", { class: look }, [
      drawn("rect", { class: "body", x: -12, y: -7, width: 24, height: 14, rx: 4 }),
      drawn("circle", { class: "pin", cx: 12, cy: -6, r: 3.5 }),
    ]), text,
  ]);
  entries.push(
    [drawn("path", { class: "path dashed", d: "M-14 0H14" }), "dashed, or thin if there are many lines: leads to or from an undecided choice"],
    [drawn("g", { class: "moved" }, [
      drawn("rect", { x: -4, y: -4, width: 8, height: 8, transform: "rotate(45)" }),
    ]), "moved by you"],
  );
  return element("ul", { class: "legend", "aria-label": "legend" },
    entries.map(([mark, text]) => element("li", {}, [swatch([mark]), text])));
}
