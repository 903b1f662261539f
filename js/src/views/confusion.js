// The whole confusion matrix of many classes as a map: it zooms, and a cell can be selected.
//
// It is painted on a canvas. The cells that are not empty come as numbers (class, prediction,
// images) of four bytes each, so that hundreds of classes need kilobytes.

import { asButton, element, keepKeys } from "../dom.js";
import { percent } from "../words.js";
import { followWidth } from "../width.js";

const LABELS = 150, TOP = 22, LEAST = 320, MOST = 760; // pixels
const NAMED = 11, COUNTED = 22; // pixels of a cell from which on names and numbers are shown
const NEAREST = 40; // pixels of a cell at most
const FONT = "11px system-ui, sans-serif";

// Return the cells from their bytes: by class, a map from prediction to images.
export function cellsOf(bytes, classes) {
  const numbers = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const rows = Array.from({ length: classes }, () => new Map());
  for (let i = 0; i < numbers.length; i += 3) rows[numbers[i]].set(numbers[i + 1], numbers[i + 2]);
  return rows;
}

// What part of a matrix of n x n cells is shown in a square of `side` pixels.
export class Window {
  constructor(n, side) {
    Object.assign(this, { n, side, cell: side / n, left: 0, top: 0 });
  }

  // Zoom by a factor; the cell under the pixel (x, y) stays there.
  zoom(factor, x = this.side / 2, y = this.side / 2) {
    const whole = this.side / this.n;
    const cell = Math.max(whole, Math.min(Math.max(NEAREST, whole), this.cell * factor));
    this.move(this.left + x / this.cell - x / cell, this.top + y / this.cell - y / cell, cell);
  }

  move(left, top, cell = this.cell) {
    const most = Math.max(0, this.n - this.side / cell);
    this.cell = cell;
    this.left = Math.max(0, Math.min(most, left));
    this.top = Math.max(0, Math.min(most, top));
  }

  // Move so that a cell is inside.
  reach(row, column) {
    const seen = this.side / this.cell - 1;
    const near = (at, start) => Math.min(at, Math.max(at - seen, start));
    this.move(near(column, this.left), near(row, this.top));
  }

  // Return the pixel [x, y] in the middle of a cell.
  middle(row, column) {
    return [(column + 0.5 - this.left) * this.cell, (row + 0.5 - this.top) * this.cell];
  }

  // Return [row, column] under a pixel, or null.
  at(x, y) {
    const [row, column] = [Math.floor(this.top + y / this.cell), Math.floor(this.left + x / this.cell)];
    const inside = x >= 0 && y >= 0 && row < this.n && column < this.n && x < this.side && y < this.side;
    return inside ? [row, column] : null;
  }
}

function render({ model, el }) {
  const tools = [["Zoom in", "+"], ["Zoom out", "-"], ["See all", "0"]].map(([text, key]) => {
    const button = element("button", { type: "button", text, "aria-keyshortcuts": key });
    asButton(button, () => byKey(key));
    return button;
  });
  const canvas = element("canvas", {
    tabindex: 0, role: "application", "aria-roledescription": "map",
  });
  const card = element("div", { class: "card", role: "status" });
  const root = element("div", { class: "mpnas map" }, [
    element("div", { class: "controls" }, tools), canvas, card,
  ]);
  keepKeys(root);
  el.append(root);

  let names = [], rows = [], totals = [], seen = null, cursor = [0, 0], width = 0, frame = 0;
  const hint = "Point at a cell, or move with the arrow keys (with Shift: by 10). A click or Enter shows its images. + and - zoom, dragging moves.";

  function words([r, c]) {
    const count = rows[r].get(c) ?? 0;
    const share = totals[r] ? `, ${percent(count / totals[r])} of the class` : "";
    return `${names[r]} predicted as ${names[c]}: ${count} image${count === 1 ? "" : "s"}${share}`;
  }
  const tell = () => { card.textContent = words(cursor); };

  function paint() {
    frame = 0;
    const pen = canvas.getContext("2d");
    if (!pen || !seen) return;
    const style = getComputedStyle(root), color = (name) => style.getPropertyValue(`--mpnas-${name}`);
    const density = globalThis.devicePixelRatio || 1, { cell, left, top, side } = seen;
    const [X, Y] = [(c) => LABELS + (c - left) * cell, (r) => TOP + (r - top) * cell];
    canvas.width = Math.round((LABELS + side) * density);
    canvas.height = Math.round((TOP + side) * density);
    pen.scale(density, density);
    pen.font = FONT;
    pen.save();
    pen.beginPath();
    pen.rect(LABELS, TOP, side, side);
    pen.clip();
    pen.fillStyle = color("weak");
    pen.fillRect(LABELS, TOP, side, side);
    const gap = cell >= 6 ? 1 : 0, last = Math.min(seen.n, Math.ceil(top + side / cell));
    for (let r = Math.floor(top); r < last; r++)
      for (const [c, count] of rows[r]) {
        const x = X(c);
        if (x + cell < LABELS || x > LABELS + side) continue;
        pen.globalAlpha = 0.25 + 0.75 * Math.sqrt(count / totals[r]);
        pen.fillStyle = r === c ? color("strong") : color("wrong");
        pen.fillRect(x, Y(r), Math.max(1.5, cell - gap), Math.max(1.5, cell - gap));
        if (cell < COUNTED) continue;
        pen.globalAlpha = 1;
        pen.textAlign = "center";
        pen.fillStyle = color("page");
        const half = 4 + 3 * String(count).length;
        pen.fillRect(x + cell / 2 - half, Y(r) + cell / 2 - 7, 2 * half, 14);
        pen.fillStyle = color("ink");
        pen.fillText(count, x + cell / 2, Y(r) + cell / 2 + 4);
      }
    pen.globalAlpha = 1;
    pen.strokeStyle = color("mark");
    const marked = model.get("marked");
    if (marked >= 0) {
      pen.strokeRect(LABELS - 1, Y(marked) - 1, side + 2, cell + 1);
      pen.strokeRect(X(marked) - 1, TOP - 1, cell + 1, side + 2);
    }
    for (const [r, c] of [model.get("selected"), cursor].filter((one) => one.length)) {
      pen.lineWidth = 2;
      pen.strokeRect(X(c) - 2, Y(r) - 2, cell + 3, cell + 3);
    }
    pen.restore();
    pen.fillStyle = color("ink");
    pen.textAlign = "right";
    const line = (r) => {
      const y = Math.max(TOP + 8, Math.min(TOP + side - 2, Y(r) + cell / 2 + 4));
      pen.fillText(names[r], LABELS - 6, y, LABELS - 8);
    };
    if (cell < NAMED) line(cursor[0]);
    else for (let r = Math.ceil(top - 0.5); r < last; r++) line(r);
    const name = names[cursor[1]], room = pen.measureText(name).width / 2;
    const middle = Math.min(LABELS + side - room, X(cursor[1]) + cell / 2);
    pen.textAlign = "center";
    pen.fillText(name, Math.max(LABELS + room, middle), 14);
  }
  function draw() {
    frame ||= requestAnimationFrame(paint);
  }

  function resize() {
    const side = Math.round(Math.max(LEAST, Math.min(MOST, width)) - LABELS);
    seen = names.length ? new Window(names.length, side) : null;
    canvas.style.width = `${LABELS + side}px`;
    canvas.style.height = `${TOP + side}px`;
    draw();
  }

  function load() {
    const content = model.get("content");
    names = content.classes ?? [];
    root.hidden = !names.length;
    canvas.setAttribute("aria-label", content.title ?? "");
    rows = names.length ? cellsOf(model.get("counts"), names.length) : [];
    totals = rows.map((one) => [...one.values()].reduce((a, b) => a + b, 0));
    cursor = [0, 0];
    card.textContent = hint;
    resize();
  }

  function go(row, column) {
    const clip = (v) => Math.max(0, Math.min(names.length - 1, v));
    cursor = [clip(row), clip(column)];
    seen.reach(...cursor);
    tell();
    draw();
  }
  function choose([r, c]) {
    if (!rows[r].get(c)) return;
    const [r0, c0] = model.get("selected");
    model.set("selected", r === r0 && c === c0 ? [] : [r, c]);
    model.save_changes();
  }
  function byKey(key) {
    if (!seen) return false;
    const factor = { "+": 1.6, "=": 1.6, "-": 1 / 1.6 }[key];
    if (key === "0") seen = new Window(seen.n, seen.side);
    else if (factor) seen.zoom(factor, ...seen.middle(...cursor));
    else return false;
    draw();
    return true;
  }

  canvas.addEventListener("keydown", (event) => {
    const by = event.shiftKey ? 10 : 1;
    const steps = { ArrowUp: [-by, 0], ArrowDown: [by, 0], ArrowLeft: [0, -by], ArrowRight: [0, by] };
    const step = steps[event.key];
    if (step) go(cursor[0] + step[0], cursor[1] + step[1]);
    else if (event.key === "Enter" || event.key === " ") choose(cursor);
    else if (!byKey(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  const inside = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - LABELS, event.clientY - box.top - TOP];
  };
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { from: inside(event), left: seen.left, top: seen.top, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = inside(event);
    if (drag) {
      const [dx, dy] = [x - drag.from[0], y - drag.from[1]];
      drag.moved ||= Math.hypot(dx, dy) > 5;
      if (drag.moved) seen.move(drag.left - dx / seen.cell, drag.top - dy / seen.cell);
    }
    const cell = seen.at(x, y);
    if (cell) {
      cursor = cell;
      tell();
    }
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const cell = seen.at(...inside(event));
    if (drag && !drag.moved && cell) choose(cell);
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => { drag = null; });
  canvas.addEventListener("wheel", (event) => {
    if (!(event.ctrlKey || document.activeElement === canvas)) return;
    event.preventDefault();
    seen.zoom(event.deltaY > 0 ? 1 / 1.25 : 1.25, ...inside(event));
    draw();
  }, { passive: false });

  model.on("change:content", load);
  model.on("change:selected change:marked", () => {
    const [r, c] = model.get("selected");
    if (r !== undefined) seen?.reach(r, c);
    draw();
  });
  const theme = new MutationObserver(draw);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  load();
  const end = followWidth(root, (now) => {
    width = now;
    resize();
  });
  return () => {
    theme.disconnect();
    end();
  };
}

export default { render };
