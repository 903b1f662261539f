// The lines of the domains, in two layers: all of them, and above them those that are highlighted.
// So the browser fades all lines at once, without painting each of them again.

import { drawn } from "../dom.js";
import { line } from "./layout.js";

const MANY = 20; // lines above which undecided parts are thin: dashes take long to paint

// Return { layers, resize, update, emphasise }.
export function newLines(graph) {
  const base = drawn("svg", { class: "lines", "aria-hidden": "true" });
  const lit = drawn("svg", { class: "lines", "aria-hidden": "true" });
  let ways = new Map(); // of the domains that are shown: their texts for `d`

  const paths = (d) => ["solid", "dashed"].map((part) => drawn("path", {
    class: `path ${part}`, d: ways.get(d)[part], style: `stroke:${graph.colors[graph.domains[d]]}`,
  }));

  function resize({ width, height }) {
    for (const layer of [base, lit]) {
      layer.setAttribute("width", width);
      layer.setAttribute("height", height);
    }
  }
  function update(state, layout) {
    ways = new Map(state.seen.map((d, slot) => [d, line(
      layout, state.paths[d], slot, state.seen.length, (layer) => state.isUnsure(d, layer))]));
    base.replaceChildren(...state.seen.flatMap(paths));
    for (const layer of [base, lit]) layer.classList.toggle("many", state.seen.length > MANY);
    return ways;
  }
  // Highlight the lines of these domains; null: all alike. bold: the chosen domain, or -1.
  function emphasise(domains, bold) {
    base.classList.toggle("faded", domains !== null);
    const above = domains ?? (ways.has(bold) ? [bold] : []);
    lit.replaceChildren(...above.map((d) => drawn("g", { class: d === bold ? "bold" : null }, paths(d))));
  }
  return { layers: [base, lit], resize, update, emphasise };
}
