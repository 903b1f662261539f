// The probability of every choice in every decision: one small map per domain, updated live.
//
// model: content (domains, colors, decisions with name, layer, choices and choosable, values as bytes
// of float32: domains x choices of all decisions, and when: the step in words), domain (the one that
// stands out), and node ([index of a layer, block], or empty). A click writes domain and node.

import { decision, verdict } from "../chart/choices.js";
import { numbersOf } from "../chart/numbers.js";
import { shade } from "../colours.js";
import { drawn, element, keepKeys, moveWithArrows } from "../dom.js";
import { percent } from "../words.js";

const CELL = 16, TOP = 4;
const HELP = "Point at a cell, or move to it with the arrow keys. A click or Enter chooses it in all views.";

function render({ model, el }) {
  const when = element("b");
  const card = element("div", { class: "card", role: "status", text: HELP });
  const board = element("div", { class: "policies" });
  const root = element("div", { class: "mpnas policy", hidden: true }, [
    element("div", { class: "controls" }, [
      when, element("span", { class: "quiet", text: "dot: likeliest choice · ring: likeliest, but undecided · no mark: tie" }),
    ]), card, board,
  ]);
  keepKeys(root);
  el.append(root);
  let maps = [], built = "", cells = new Map();

  const probabilities = (d, k) => maps[d].values[k];
  const layout = () => {
    const { decisions } = model.get("content");
    const rows = [...new Set(decisions.flatMap(({ choices }) => choices))];
    return rows.sort((a, b) => (a === "zero") - (b === "zero"));
  };

  function build({ domains, colors, decisions }) {
    const rows = layout(), names = decisions.map(({ name }) => name);
    const left = 7 * Math.max(...rows.map((r) => r.length)) + 10;
    const below = 7 * Math.max(...names.map((n) => n.length)) + 10;
    const width = left + decisions.length * CELL, height = TOP + rows.length * CELL + below;
    cells = new Map();
    maps = domains.map((domain, d) => {
      const map = { columns: [], values: [] };
      map.title = element("figcaption", {}, [
        element("i", { style: `background:${colors[domain]}`, "aria-hidden": "true" }), domain,
      ]);
      map.picture = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
      rows.forEach((row, i) => map.picture.append(drawn("text", {
        x: left - 5, y: TOP + i * CELL + 12, "text-anchor": "end", class: "quiet", text: row })));
      decisions.forEach(({ name, choices }, k) => {
        const x = left + k * CELL, foot = TOP + rows.length * CELL + 6;
        map.picture.append(drawn("text", {
          class: "quiet", "text-anchor": "end", transform: `translate(${x + 12} ${foot}) rotate(-90)`, text: name }));
        map.columns.push(choices.map((choice) => {
          const y = TOP + rows.indexOf(choice) * CELL;
          const body = drawn("rect", { class: "body", x, y, width: CELL - 1, height: CELL - 1 });
          const cell = drawn("g", { class: "cell", role: "button", tabindex: -1 }, [body]);
          cells.set(cell, { d, k, row: rows.indexOf(choice), choice, cell, body });
          map.picture.append(cell);
          return cells.get(cell);
        }));
        map.picture.append((map.marks ??= [])[k] = drawn("circle", { r: 3, class: "best" }));
      });
      map.figure = element("figure", {}, [map.title, map.picture]);
      cells.get(map.picture.querySelector(".cell"))?.cell.setAttribute("tabindex", 0);
      return map;
    });
    board.replaceChildren(...maps.map(({ figure }) => figure));
  }

  function draw() {
    const content = model.get("content");
    if (!content.domains) return;
    const shape = JSON.stringify([content.domains, content.decisions]);
    if (shape !== built) {
      built = shape;
      build(content);
    }
    root.hidden = false;
    when.textContent = content.when;
    const all = numbersOf(content.values);
    let place = 0;
    maps.forEach((map, d) => {
      map.values = content.decisions.map(({ choices }) => all.slice(place, (place += choices.length)));
      map.columns.forEach((column, k) => {
        const values = map.values[k], { best, tied, decided } = decision(values);
        column.forEach(({ body }, c) => {
          const colour = shade(values[c]);
          if (body.style.fill !== colour) body.style.fill = colour;
        });
        const mark = map.marks[k], { body } = column[best];
        mark.setAttribute("class", tied ? "none" : decided ? "best" : "best open");
        mark.setAttribute("cx", Number(body.getAttribute("x")) + (CELL - 1) / 2);
        mark.setAttribute("cy", Number(body.getAttribute("y")) + (CELL - 1) / 2);
        mark.style.color = values[best] > 0.5 ? "var(--mpnas-page)" : "var(--mpnas-ink)";
      });
      const likely = content.decisions.map(({ name, choices }, k) => `${name} ${verdict(map.values[k], choices)}`);
      map.picture.setAttribute("aria-label", `${content.domains[d]}, likeliest: ${likely.join(", ")}`);
    });
    choose();
  }

  function choose() {
    const { domains, decisions } = model.get("content");
    const [layer, block] = model.get("node");
    if (!domains) return;
    maps.forEach(({ figure }, d) => figure.classList.toggle("chosen", domains[d] === model.get("domain")));
    for (const { cell, d, k, choice } of cells.values()) {
      const here = decisions[k].layer === layer && decisions[k].choosable && choice === block;
      if (cell.classList.contains("chosen") !== here) cell.classList.toggle("chosen", here);
      cell.setAttribute("aria-pressed", here);
      if (!cell.hasAttribute("aria-label")) cell.setAttribute("aria-label", `${domains[d]}, ${decisions[k].name}, ${choice}`);
    }
  }

  function describe({ d, k, choice }) {
    const { domains, decisions } = model.get("content");
    const { name, choices } = decisions[k], values = probabilities(d, k);
    const order = choices.map((c, i) => [values[i], c]).sort((a, b) => b[0] - a[0]);
    card.replaceChildren(
      element("b", { text: `${domains[d]}, ${name}: ${choice} ${percent(values[choices.indexOf(choice)])}` }),
      ` ${order.map(([p, c]) => `${c} ${percent(p)}`).join(" · ")} — ${verdict(values, choices)}`);
  }
  const of = (event) => cells.get(event.target.closest?.(".cell"));

  // The maps have thousands of cells: their events are heard here, once.
  board.addEventListener("pointerover", (event) => of(event) && describe(of(event)));
  board.addEventListener("focusin", (event) => {
    const entry = of(event);
    if (!entry) return;
    describe(entry);
    for (const column of maps[entry.d].columns)
      for (const other of column) if (other !== entry) other.cell.setAttribute("tabindex", -1);
    entry.cell.setAttribute("tabindex", 0);
  });
  function take({ d, k, choice }) {
    const { domains, decisions } = model.get("content"), { layer, choosable } = decisions[k];
    const [nowLayer, nowBlock] = model.get("node");
    const again = nowLayer === layer && nowBlock === choice && model.get("domain") === domains[d];
    model.set(again ? { domain: "", node: [] } : { domain: domains[d], ...(choosable && { node: [layer, choice] }) });
    model.save_changes();
  }
  board.addEventListener("click", (event) => of(event) && take(of(event)));
  board.addEventListener("keydown", (event) => {
    const entry = of(event);
    if (!entry) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      take(entry);
    } else
      moveWithArrows(event, entry.row, entry.k, (row, k) =>
        maps[entry.d].columns[k]?.find((other) => other.row === row)?.cell);
  });

  model.on("change:content", draw);
  model.on("change:domain change:node", choose);
  draw();
}

export default { render };
