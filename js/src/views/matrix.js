// A table of shaded cells with named rows and columns: one tab stop, arrow keys move in the grid.
//
// It is built once per content. A selection and an emphasis change classes only.

import { element, keepKeys } from "../dom.js";

const SHADES = 20;

// Return the background of a cell. The text on it keeps its contrast at every shade.
export function tint(value) {
  const share = Math.round(SHADES * Math.max(0, Math.min(1, value))) * (100 / SHADES);
  return `color-mix(in srgb, var(--mpnas-tint) ${share}%, var(--mpnas-weak))`;
}

// Return the cell to move to from [row, column]; heads are row -1 and column -1.
export function next([row, column], key, rows, columns, heads) {
  const first = heads ? -1 : 0;
  const clip = (v, most) => Math.max(first, Math.min(most - 1, v));
  const to = {
    ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1], Home: [row, 0], End: [row, columns - 1],
    PageUp: [0, column], PageDown: [rows - 1, column],
  }[key];
  if (!to) return null;
  const cell = [clip(to[0], rows), clip(to[1], columns)];
  return cell[0] < 0 && cell[1] < 0 ? [row, column] : cell;
}

function render({ model, el }) {
  const scroll = element("div", { class: "scroll" }), scale = element("div");
  const card = element("div", { class: "card" });
  const root = element("div", { class: "mpnas grid" }, [scroll, scale, card]);
  keepKeys(root);
  el.append(root);
  let content = {}, cells = [], rowHeads = [], columnHeads = [], stop = null, built = "";
  let lit = [], chosen = null; // what `mark` changed last

  const node = ([row, column]) =>
    row < 0 ? columnHeads[column] : column < 0 ? rowHeads[row] : cells[row]?.[column];

  function words(r, c) {
    const { rows, columns, texts, notes, unit, hints } = content;
    if (content.values[r][c] === null) return "";
    const note = notes && notes[r][c] !== "" ? ` (${notes[r][c]})` : "";
    return `${rows[r]}, ${hints?.[c] ?? columns[c]}: ${texts[r][c] || "0"}${unit ?? ""}${note}`;
  }

  function build() {
    const { rows, columns, title, small, heads } = content;
    const head = (name, row, column) => {
      const more = heads ? { tabindex: -1 } : {};
      const text = column < 0 ? name : element("span", { text: name });
      const one = element("th", { scope: column < 0 ? "row" : "col", ...more }, [text]);
      one.at = [row, column];
      return one;
    };
    columnHeads = columns.map((name, c) => head(name, -1, c));
    rowHeads = rows.map((name, r) => head(name, r, -1));
    cells = rows.map((_, r) => columns.map((__, c) => {
      const cell = element("td");
      cell.at = [r, c];
      return cell;
    }));
    const body = rowHeads.map((one, r) => element("tr", {}, [one, ...cells[r]]));
    const table = element("table", { class: `matrix${small ? " small" : ""}`, role: "grid", "aria-label": title }, [
      element("thead", {}, [element("tr", {}, [element("td", { class: "corner" }), ...columnHeads])]),
      element("tbody", {}, body),
    ]);
    scroll.replaceChildren(table);
    stop = chosen = null;
    lit = [];
  }

  // The colours of values, with marks such as the value of chance.
  function legend() {
    const { scale: colors } = content;
    if (!colors) return [];
    const clip = (value) => Math.max(colors.low, Math.min(colors.high, value));
    const share = (value) => (100 * (clip(value) - colors.low)) / (colors.high - colors.low || 1);
    const ground = `background:linear-gradient(to right, ${tint(0)}, ${tint(1)})`;
    const ends = [[colors.low, colors.texts[0]], [colors.high, colors.texts[1]]];
    return [element("div", { class: "scale", "aria-label": colors.title, role: "img" }, [
      element("span", { text: ends[0][1] }),
      element("span", { class: "ramp", style: ground }, colors.marks.map(({ value, text }) =>
        element("i", { style: `left:${share(value)}%` }, [element("b", { text })]))),
      element("span", { text: ends[1][1] }),
    ])];
  }

  function fill() {
    const { values, texts, notes, small } = content;
    cells.forEach((line, r) => line.forEach((cell, c) => {
      const value = values[r][c], note = notes && !small ? notes[r][c] : "";
      const now = `${value}|${texts[r][c]}|${notes?.[r][c]}`;
      if (cell.now === now) return;
      cell.now = now;
      cell.classList.toggle("none", value === null);
      if (value === null) return cell.removeAttribute("tabindex");
      cell.setAttribute("tabindex", cell === stop ? 0 : -1);
      cell.style.background = tint(value);
      cell.setAttribute("aria-label", words(r, c));
      cell.textContent = texts[r][c];
      if (note) cell.append(element("small", { text: note }));
    }));
  }

  // Emphasise heads and lines, and mark the selected cell. Only what changes is touched.
  function mark() {
    const { rows = [], columns = [] } = model.get("emphasis");
    for (const one of lit) one.classList.remove("on");
    lit = [
      ...rows.map((r) => rowHeads[r]), ...columns.map((c) => columnHeads[c]),
      ...rows.flatMap((r) => cells[r]), ...columns.flatMap((c) => cells.map((line) => line[c])),
    ].filter(Boolean);
    for (const one of lit) one.classList.add("on");
    chosen?.removeAttribute("aria-selected");
    const [r0, c0] = model.get("selected");
    chosen = cells[r0]?.[c0];
    chosen?.setAttribute("aria-selected", true);
    if (scroll.contains(document.activeElement)) return;
    stopAt(chosen ?? cells.flat().find((cell) => !cell.classList.contains("none")));
  }

  function stopAt(cell) {
    if (stop) stop.tabIndex = -1;
    stop = cell;
    if (stop) stop.tabIndex = 0;
  }

  function choose([row, column]) {
    if (row < 0) model.send({ choose: "column", index: column });
    else if (column < 0) model.send({ choose: "row", index: row });
    else {
      const [r0, c0] = model.get("selected");
      model.set("selected", r0 === row && c0 === column ? [] : [row, column]);
      model.save_changes();
    }
  }

  const target = (event) => {
    const cell = event.target.closest("td, th");
    return cell?.at && cell.hasAttribute("tabindex") && !cell.classList.contains("none") ? cell : null;
  };
  scroll.addEventListener("click", (event) => {
    const cell = target(event);
    if (cell) choose(cell.at);
  });
  scroll.addEventListener("pointerover", (event) => {
    const [r, c] = target(event)?.at ?? [-1, -1];
    if (r >= 0 && c >= 0) card.textContent = words(r, c);
  });
  scroll.addEventListener("pointerleave", () => (card.textContent = content.hint ?? ""));
  scroll.addEventListener("focusin", (event) => {
    const cell = target(event);
    if (!cell) return;
    stopAt(cell);
    if (cell.at[0] >= 0 && cell.at[1] >= 0) card.textContent = words(...cell.at);
  });
  scroll.addEventListener("keydown", (event) => {
    const cell = target(event);
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") choose(cell.at);
    else {
      const way = (at) => next(at, event.key, cells.length, columnHeads.length, content.heads);
      let to = way(cell.at);
      if (!to) return;
      const over = way(to);
      if (node(to)?.classList.contains("none")) to = node(over)?.classList.contains("none") ? cell.at : over;
      node(to)?.focus();
    }
    event.preventDefault();
    event.stopPropagation();
  });

  function draw() {
    content = model.get("content");
    if (!content.rows) return;
    const shape = JSON.stringify([content.title, content.rows, content.columns, content.small]);
    if (shape !== built) build();
    built = shape;
    scale.replaceChildren(...legend());
    card.textContent = content.hint ?? "";
    fill();
    mark();
  }
  model.on("change:content", draw);
  model.on("change:selected change:emphasis", mark);
  draw();
}

export default { render };
