// The probability of every choice in every layer, one small picture per domain, updated live.

import { shade } from "../colours.js";
import { drawn, element } from "../dom.js";

const CELL = 15;

function render({ model, el }) {
  const root = element("div", { class: "mpnas" });
  const board = element("div", { class: "controls", style: "align-items:flex-start" });
  root.append(board);
  el.append(root);
  let cells = null;

  function build({ domains, layers, choices }) {
    const rows = [...new Set(choices.flat())].sort((a, b) => (a === "zero") - (b === "zero"));
    const left = 8 * Math.max(...rows.map((r) => r.length)) + 6;
    cells = {};
    board.replaceChildren(...domains.map((domain) => {
      const width = left + layers.length * CELL, height = 20 + rows.length * CELL;
      const picture = drawn("svg", { width, height, role: "img" }, [
        drawn("text", { x: left, y: 13, text: domain }),
        ...rows.map((name, i) => drawn("text", { x: left - 5, y: 31 + i * CELL, "text-anchor": "end", class: "quiet", text: name })),
      ]);
      cells[domain] = { picture, rects: choices.map((names, layer) => names.map((name) => {
        const rect = drawn("rect", { x: left + layer * CELL, y: 20 + rows.indexOf(name) * CELL, width: CELL - 1, height: CELL - 1 });
        rect.append(drawn("title", { text: `${layers[layer]} ${name}` }));
        picture.append(rect);
        return rect;
      })) };
      return picture;
    }));
  }

  function draw() {
    const content = model.get("content");
    if (!content.domains) return;
    if (!cells) build(content);
    content.domains.forEach((domain, d) => {
      const { picture, rects } = cells[domain];
      const best = [];
      rects.forEach((column, layer) => {
        const values = content.values[d][layer];
        column.forEach((rect, k) => { rect.style.fill = shade(values[k]); });
        best.push(content.choices[layer][values.indexOf(Math.max(...values))]);
      });
      picture.setAttribute("aria-label", `${domain}, most likely: ${best.join(" ")}`);
    });
  }

  model.on("change:content", draw);
  draw();
}

export default { render };
