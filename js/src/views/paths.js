// The domains' paths through the search space: domains can be shown and compared, nodes pinned, and
// a slider moves through the search. All numbers come from Python.

import { asButton, drawn, element, keepKeys, moveWithArrows } from "../dom.js";
import { amount } from "../words.js";

const COLUMN = 64, ROW = 34, TOP = 34, WIDE = 30, HIGH = 20, RIGHT = 110;

function render({ model, el }) {
  const graph = model.get("graph");
  const { layers, rows, domains, colors, nodes, steps } = graph;
  const rowOf = new Map(rows.map((name, i) => [name, i]));
  const LEFT = 40 + 8 * Math.max(4, ...rows.map((name) => name.length));
  const middle = Math.max(0, Math.floor((rows.length - 2) / 2));
  const rowIn = (layer, block) => (nodes[layer].length === 1 ? middle : rowOf.get(block));
  const x = (layer) => LEFT + layer * COLUMN;
  const y = (row) => TOP + 16 + row * ROW;

  const root = element("div", { class: "mpnas paths" });
  keepKeys(root);
  const controls = element("div", { class: "controls", role: "group", "aria-label": "domains to show" });
  const second = element("div", { class: "controls" });
  const card = element("div", { class: "card", role: "status", "aria-live": "polite" });
  const width = x(layers.length) + RIGHT, height = y(rows.length) + 10;
  const picture = drawn("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": "the layers of the search space from left to right, one row per choice",
  });
  const scroll = element("div", { class: "scroll" }, [picture]);
  root.append(controls, second, card, scroll);
  el.append(root);

  // The controls are built once. The model sets their values.
  const boxes = domains.map((domain) => {
    const box = element("input", { type: "checkbox" });
    box.addEventListener("change", () => {
      const shown = new Set(model.get("shown"));
      box.checked ? shown.add(domain) : shown.delete(domain);
      model.set("shown", domains.filter((d) => shown.has(d)));
      model.save_changes();
    });
    const chip = element("label", { class: "chip" }, [
      box, element("i", { style: `background:${colors[domain]}`, "aria-hidden": "true" }), domain,
    ]);
    chip.addEventListener("mouseenter", () => emphasise(domain));
    chip.addEventListener("mouseleave", () => emphasise(null));
    controls.append(chip);
    return box;
  });
  const domainSelect = (which) => {
    const select = element("select", { "aria-label": `compare: ${which} domain` }, [
      element("option", { value: "", text: "–" }),
      ...domains.map((d) => element("option", { value: d, text: d })),
    ]);
    select.addEventListener("change", () => {
      const two = [first.value, other.value];
      model.set("compare", two[0] && two[1] && two[0] !== two[1] ? two : []);
      model.save_changes();
    });
    return select;
  };
  const first = domainSelect("first"), other = domainSelect("second");
  second.append(element("span", { text: "compare" }), first, other);
  const slider = element("input", {
    type: "range", min: 0, max: steps.length - 1, step: 1, "aria-label": "step of the search",
  });
  const when = element("output", {});
  slider.addEventListener("input", () => {
    model.set("at", Number(slider.value));
    model.save_changes();
  });
  if (steps.length > 1) second.append(element("label", {}, ["search step", slider, when]));

  // The nodes are drawn once. Their classes and the lines follow the model.
  rows.forEach((name, i) =>
    picture.append(drawn("text", { x: LEFT - 34, y: y(i) + 4, "text-anchor": "end", class: "quiet", text: name })));
  layers.forEach((name, i) =>
    picture.append(drawn("text", { x: x(i), y: 20, "text-anchor": "middle", class: "quiet", text: name })));
  const lines = drawn("g", {});
  picture.append(lines);
  const marks = [];
  nodes.forEach((column, layer) =>
    column.forEach((node) => {
      const row = rowIn(layer, node.block);
      const number = drawn("text", { "text-anchor": "middle", y: 4 });
      const mark = drawn("g", {
        class: "node", tabindex: marks.length ? -1 : 0, role: "button",
        transform: `translate(${x(layer)} ${y(row)})`,
      }, [
        drawn("rect", { class: "body", x: -WIDE / 2, y: -HIGH / 2, width: WIDE, height: HIGH, rx: 4 }),
        number, drawn("circle", { class: "pin", cx: WIDE / 2, cy: -HIGH / 2, r: 4 }),
      ]);
      if (column.length === 1)  // a single candidate has no row of its own: write its name below
        picture.append(drawn("text", {
          x: x(layer), y: y(row) + 26, "text-anchor": "middle", class: "quiet", text: node.block,
        }));
      const entry = { node, layer, row, mark, number };
      mark.addEventListener("mouseenter", () => describe(entry));
      mark.addEventListener("focus", () => {
        describe(entry);
        marks.forEach((m) => m.mark.setAttribute("tabindex", m === entry ? 0 : -1));
      });
      mark.addEventListener("keydown", (event) =>
        moveWithArrows(event, row, layer, (r, l) => marks.find((m) => m.row === r && m.layer === l)?.mark));
      asButton(mark, () => {
        const pinned = model.get("pinned");
        const is = ([l, b]) => l === layer && b === node.block;
        model.set("pinned", pinned.some(is) ? pinned.filter((p) => !is(p)) : [...pinned, [layer, node.block]]);
        model.save_changes();
      });
      marks.push(entry);
      picture.append(mark);
    }));

  const chosen = (domain) => graph.paths[model.get("at")][domains.indexOf(domain)];
  const seen = () => (model.get("compare").length ? model.get("compare") : model.get("shown"));
  const users = ({ layer, node }) => seen().filter((d) => chosen(d)[layer] === node.block);

  function words(entry) {
    const { node, layer } = entry;
    const by = users(entry);
    const what = node.block === "zero" ? "skips the layer" : node.about;
    const own = node.copied ? "A private copy for each of" : "Shared by";
    const whose = by.length > 1 ? `${own} ${by.join(", ")}` : by.length ? `Private to ${by[0]}` : "Unused";
    return { head: `${layers[layer]} ${node.block}`, what, whose };
  }

  function describe(entry) {
    const { head, what, whose } = words(entry);
    const { node } = entry;
    const cost = node.block === "zero" ? "" :
      ` ${amount(node.parameters)} parameters, ${amount(node.multiply_adds)} multiply-adds.`;
    card.replaceChildren(element("b", { text: head }), ` ${what}.${cost} `, element("span", { text: `${whose}.` }));
  }

  function emphasise(domain) {
    for (const line of lines.children)
      line.classList.toggle("faded", seen().includes(domain) && line.dataset.domain !== domain);
  }

  function drawPaths() {
    const shown = seen();
    lines.replaceChildren(...shown.map((domain, k) => {
      const shift = (k - (shown.length - 1) / 2) * Math.min(3, 18 / shown.length);
      const stops = chosen(domain).map((block, layer) => [x(layer), y(rowIn(layer, block)) + shift]);
      const last = stops[stops.length - 1];
      const room = Math.max(14, (height - TOP - 30) / Math.max(1, shown.length));
      const end = [x(layers.length) + 6, TOP + 10 + (k + 0.5) * room];
      const bend = ([x0, y0], [x1, y1]) => `C${(x0 + x1) / 2} ${y0} ${(x0 + x1) / 2} ${y1} ${x1} ${y1}`;
      const way = stops.map((p, i) => (i ? bend(stops[i - 1], p) : `M${p[0]} ${p[1]}`)).join("") + bend(last, end);
      return drawn("g", { "data-domain": domain }, [
        drawn("path", { d: way, class: "path", stroke: colors[domain] }),
        drawn("text", { x: end[0] + 6, y: end[1] + 4, text: domain }),
      ]);
    }));
  }

  function draw() {
    const pinned = model.get("pinned");
    const two = model.get("compare");
    domains.forEach((d, i) => { boxes[i].checked = model.get("shown").includes(d); });
    const incomplete = first.value === other.value || !first.value || !other.value;
    if (two.length) [first.value, other.value] = two;
    else if (!incomplete) first.value = other.value = "";
    slider.value = model.get("at");
    when.textContent = steps[model.get("at")];
    drawPaths();
    for (const entry of marks) {
      const by = users(entry), { head, what, whose } = words(entry);
      const pin = pinned.some(([l, b]) => l === entry.layer && b === entry.node.block);
      entry.mark.setAttribute("class", [
        "node", !by.length ? "unused" : by.length > 1 && !entry.node.copied ? "shared" : "private",
        pin ? "pinned" : "", two.length && (by.length === 1 || (by.length && entry.node.copied)) ? "differs" : "",
      ].join(" "));
      entry.mark.setAttribute("aria-pressed", pin);
      entry.mark.setAttribute("aria-label", `${head}: ${what}, ${whose}`);
      entry.number.textContent = by.length > 1 ? by.length : "";
    }
  }

  model.on("change:shown change:compare change:at change:pinned", draw);
  draw();
  card.textContent = "Point at a node, or move to it with the arrow keys. A click or Enter pins it.";
}

export default { render };
