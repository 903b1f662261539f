// Accuracy against a cost: one mark per row, its seeds, intervals, labels and the Pareto front.
//
// Drawn as SVG of its own, not by a library of charts: there are tens of points, and what matters
// is what those libraries lack: labels that avoid each other, and points that keys can reach.

import { Axis } from "../axes.js";
import { asButton, drawn, element, keepKeys } from "../dom.js";
import { placeLabels } from "../labels.js";
import { amount, percent } from "../words.js";
import { followWidth } from "../width.js";

const PAD = { left: 62, right: 16, top: 26, bottom: 44 };
const NEAR = 24; // pixels from the pointer to a point that it means
const LETTER = 6.9; // pixels per letter of a label
const DRAG = 6; // pixels: less is a click
const HINT = "Drag or press + and - to zoom, 0 to see all. The arrow keys move between points; a click or Enter selects.";
const SHAPES = [
  "M-6-6H6V6H-6Z", "M0-8L8 0L0 8L-8 0Z", "M0-8L7.5 6H-7.5Z", "M0 8L7.5-6H-7.5Z",
  "M-2.5-7H2.5V-2.5H7V2.5H2.5V7H-2.5V2.5H-7V-2.5H-2.5Z", "M0-8L7.5-2.5L4.7 6.5H-4.7L-7.5-2.5Z",
  "M-7 0L6-7.5V7.5Z", "M7 0L-6-7.5V7.5Z",
];
const CIRCLE = "M-7 0A7 7 0 1 0 7 0A7 7 0 1 0-7 0Z";

// The mark of a row. The circle is that of the run itself. Shapes repeat: hollow, then filled again.
export function mark({ own, shape }) {
  const shapes = own ? [CIRCLE, ...SHAPES] : SHAPES;
  const hollow = Math.floor(shape / shapes.length) % 2 === 1;
  return drawn("path", {
    class: `body ${own ? "own" : "peer"}${hollow ? " hollow" : ""}`, d: shapes[shape % shapes.length],
  });
}

// Return a point in words.
export function words(point, xTitle) {
  const interval = point.low === null ? "" : ` (95 % interval ${percent(point.low)} to ${percent(point.high)})`;
  const seeds = point.seeds.length > 1 ? `, ${point.seeds.length} seeds` : "";
  return `${percent(point.y)}${interval}, ${amount(point.x)} ${xTitle}${seeds}`;
}

// Return the range of each axis that shows all points: [[x0, x1], [y0, y1]]. Intervals may end
// outside: that of two seeds is many times wider than what differs.
export function ranges(points, log) {
  const xs = points.flatMap((p) => [p.x, ...p.seeds.map((s) => s.x)]);
  const ys = points.flatMap((p) => [p.y, ...p.seeds.map((s) => s.y)]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const room = 0.1 * (y1 - y0) || 0.05, most = 0.5 * (y1 - y0) || 0.05;
  const ends = (key, value) => points.map((p) => p[key] ?? value);
  const low = Math.max(y0 - most, Math.min(y0, ...ends("low", y0))) - room;
  const high = Math.min(y1 + most, Math.max(y1, ...ends("high", y1))) + room;
  const side = 0.12 * (x1 - x0) || 0.1 * x1 || 1;
  const factor = (x1 / x0) ** 0.12 * 1.05;
  return [log ? [x0 / factor, x1 * factor] : [Math.max(0, x0 - side), x1 + side], [low, high]];
}

let count = 0; // views in this page

function render({ model, el }) {
  const legend = element("div", { class: "controls marks", role: "list", "aria-label": "marks" });
  const logBox = element("input", { type: "checkbox" });
  const [closer, wider, all] = [["Zoom in", "+"], ["Zoom out", "-"], ["See all", "0"]].map(([text, key]) => {
    const button = element("button", { type: "button", text, "aria-keyshortcuts": key });
    asButton(button, () => byKey(key));
    return button;
  });
  const tools = element("div", { class: "controls" }, [
    closer, wider, all, element("label", {}, [logBox, "logarithmic"]),
  ]);
  const picture = drawn("svg", { role: "group" });
  const card = element("div", { class: "card" });
  const root = element("div", { class: "mpnas scatter" }, [tools, picture, legend, card]);
  keepKeys(root);
  el.append(root);

  const id = `mpnas-plot-${(count += 1)}`;
  let width = 0, view = null, axes = null, marks = [], aim = null, said = null;
  const content = () => model.get("content");
  const shown = () => (content().points ?? []).filter((p) => p.x !== null && p.y !== null);

  function tell(point) {
    said = point;
    if (point) card.replaceChildren(element("b", { text: point.label }), ` ${words(point, content().x_title)}.`);
    else card.textContent = [HINT, content().note].filter(Boolean).join(" ");
  }

  function select(key) {
    model.set("selected", model.get("selected") === key ? "" : key);
    model.save_changes();
  }

  function showSelected() {
    const key = model.get("selected");
    let chosen = null;
    for (const { point, group, label, placed, inside } of marks) {
      const is = point.key === key;
      group.setAttribute("aria-pressed", is);
      group.classList.toggle("pinned", is);
      label.classList.toggle("spare", !inside || !(placed || is));
      if (is) chosen = point;
    }
    tell(chosen);
  }

  function drawAxes([left, , right, bottom], { x_title, y_title }) {
    const parts = [drawn("text", { x: left - 50, y: 14, text: y_title })];
    for (const t of axes.y.ticks(5)) {
      const y = axes.y.pixel(t);
      parts.push(drawn("path", { class: "axis", d: `M${left} ${y}H${right}` }));
      parts.push(drawn("text", { x: left - 7, y: y + 4, "text-anchor": "end", class: "quiet", text: `${Number((100 * t).toFixed(2))} %` }));
    }
    for (const t of axes.x.ticks(Math.max(3, Math.round((right - left) / 110)))) {
      const x = axes.x.pixel(t);
      parts.push(drawn("path", { class: "axis", d: `M${x} ${bottom}v5` }));
      parts.push(drawn("text", { x, y: bottom + 19, "text-anchor": "middle", class: "quiet", text: amount(t) }));
    }
    parts.push(drawn("text", { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle", class: "quiet", text: x_title }));
    return parts;
  }

  // The Pareto front as steps. Return the line, and its boxes.
  function drawFront(right) {
    const steps = content().front.map(([x, y]) => [axes.x.pixel(x), axes.y.pixel(y)]);
    if (!steps.length) return [[], []];
    const way = steps.map(([x, y], i) => (i ? `H${x}V${y}` : `M${x} ${y}`)).join("");
    const boxes = steps.flatMap(([x, y], i) => {
      const [next, above] = steps[i + 1] ?? [Math.max(right, x), y];
      return [[x, y - 1, next, y + 1], [next - 1, above, next + 1, y]];
    });
    return [[drawn("path", { class: "front", d: `${way}H${boxes[boxes.length - 2][2]}` })], boxes];
  }

  function drawPoint(point, place, inside) {
    const x = axes.x.pixel(point.x), y = axes.y.pixel(point.y);
    const group = drawn("g", {
      class: "point", role: "button", tabindex: -1, transform: `translate(${x} ${y})`,
      "aria-label": `${point.label}: ${words(point, content().x_title)}`, visibility: inside ? null : "hidden",
    }, [mark(point)]);
    asButton(group, () => select(point.key));
    group.addEventListener("focus", () => {
      tell(point);
      for (const one of marks) one.group.setAttribute("tabindex", one.group === group ? 0 : -1);
    });
    const at = place ?? { x, y: y - 12, anchor: "middle" };
    const label = drawn("g", { class: "label" }, [
      place?.far ? drawn("path", { class: "axis", d: `M${x} ${y}L${at.x} ${at.y - 4}` }) : "",
      drawn("text", { x: at.x, y: at.y, "text-anchor": at.anchor, text: point.label }),
    ]);
    return { point, group, label, placed: Boolean(place), x, y, inside };
  }

  function draw() {
    const points = shown();
    if (!points.length) {
      picture.replaceChildren();
      tell(null);
      return;
    }
    const height = Math.round(Math.min(560, Math.max(300, 0.56 * width)));
    const log = model.get("x_log"), [xs, ys] = view ?? ranges(points, log);
    const bounds = [PAD.left, PAD.top, width - PAD.right, height - PAD.bottom];
    const [left, top, right, bottom] = bounds;
    axes = { x: new Axis(...xs, left, right, log), y: new Axis(...ys, bottom, top) };
    picture.setAttribute("width", width);
    picture.setAttribute("height", height);
    picture.setAttribute("aria-label", content().title);
    const clip = drawn("clipPath", { id }, [
      drawn("rect", { x: left, y: top, width: right - left, height: bottom - top }),
    ]);
    const [front, thin] = drawFront(right);
    const inner = drawn("g", { "clip-path": `url(#${id})` }, front);
    for (const point of points) {
      const x = axes.x.pixel(point.x);
      const kind = point.own ? "own" : "peer";
      if (point.low !== null) {
        const [y0, y1] = [point.low, point.high].map((v) => axes.y.pixel(v));
        inner.append(drawn("path", { class: `interval ${kind}`, d: `M${x} ${y0}V${y1}M${x - 4} ${y0}h8M${x - 4} ${y1}h8` }));
        thin.push([x - 3, y1, x + 3, y0]);
      }
      for (const seed of point.seeds.length > 1 ? point.seeds : []) {
        const [cx, cy] = [axes.x.pixel(seed.x), axes.y.pixel(seed.y)];
        inner.append(drawn("circle", { class: `seed ${kind}`, cx, cy, r: 2.5 }, [drawn("title", { text: `${seed.name}: ${percent(seed.y)}` })]));
        thin.push([cx - 3, cy - 3, cx + 3, cy + 3]);
      }
    }
    const within = ({ x, y }) => {
      const [px, py] = [axes.x.pixel(x), axes.y.pixel(y)];
      return px >= left && px <= right && py >= top && py <= bottom;
    };
    const order = [...points].sort((a, b) => b.own - a.own || b.best - a.best || b.y - a.y);
    const seen = order.filter(within);
    const places = placeLabels(
      seen.map((p) => ({ x: axes.x.pixel(p.x), y: axes.y.pixel(p.y), width: LETTER * p.label.length })),
      bounds, thin);
    marks = points.map((point) => drawPoint(point, places[seen.indexOf(point)], within(point)))
      .sort((a, b) => a.x - b.x || a.y - b.y);
    marks.find((m) => m.inside)?.group.setAttribute("tabindex", 0);
    aim = drawn("g", { class: "aim", "aria-hidden": "true" });
    picture.replaceChildren(
      clip, ...drawAxes(bounds, content()), inner, aim,
      ...marks.map((m) => m.label), ...marks.map((m) => m.group));
    all.disabled = view === null;
    showSelected();
  }

  function drawLegend() {
    const items = shown().map((point) => element("span", { role: "listitem" }, [
      drawn("svg", { width: 18, height: 18, viewBox: "-9 -9 18 18", "aria-hidden": "true" }, [mark(point)]), point.label,
    ]));
    const several = shown().some((p) => p.seeds.length > 1);
    const others = [["dashed line: Pareto front", content().front?.length], ["small points: seeds", several], ["bars: 95 % t intervals over seeds", several]];
    for (const [text, there] of others) if (there) items.push(element("span", { role: "listitem", class: "quiet", text }));
    legend.replaceChildren(...items);
  }

  // Zoom, pan and reset.
  function zoom(factor, x = (axes.x.from + axes.x.to) / 2, y = (axes.y.from + axes.y.to) / 2) {
    view = [axes.x.zoomed(factor, x), axes.y.zoomed(factor, y)];
    redraw();
  }
  function redraw() {
    const focused = marks.find((m) => m.group === document.activeElement)?.point.key;
    draw();
    marks.find((m) => m.point.key === focused && m.inside)?.group.focus();
  }
  function byKey(key) {
    if (!axes) return false;
    if (key === "+" || key === "=") zoom(0.6);
    else if (key === "-") zoom(1 / 0.6);
    else if (key === "0") {
      view = null;
      redraw();
    } else return false;
    return true;
  }
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const there = marks.filter((m) => m.inside);
    const at = there.findIndex((m) => m.group === document.activeElement);
    if (step && there.length) there[(at + step + there.length) % there.length].group.focus();
    else if (!byKey(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  picture.addEventListener("wheel", (event) => {
    if (!axes || !(event.ctrlKey || root.contains(document.activeElement))) return;
    event.preventDefault();
    const box = picture.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  // The pointer: values under it, the point it means, and a frame to zoom into.
  let begun = null;
  const where = (event) => {
    const box = picture.getBoundingClientRect();
    const clip = (v, a, b) => Math.max(Math.min(a, b), Math.min(Math.max(a, b), v));
    return [
      clip(event.clientX - box.left, axes.x.from, axes.x.to),
      clip(event.clientY - box.top, axes.y.from, axes.y.to),
    ];
  };
  function cross([x, y]) {
    aim.replaceChildren(
      drawn("path", { d: `M${x} ${axes.y.to}V${axes.y.from}M${axes.x.from} ${y}H${axes.x.to}` }),
      drawn("text", { x: Math.min(x + 5, axes.x.to - 48), y: axes.y.from - 5, text: amount(axes.x.value(x)) }),
      drawn("text", { x: axes.x.from + 5, y: y - 5, text: percent(axes.y.value(y)) }));
    if (!begun) return;
    const [x0, y0] = begun;
    aim.append(drawn("rect", { x: Math.min(x, x0), y: Math.min(y, y0), width: Math.abs(x - x0), height: Math.abs(y - y0) }));
  }
  picture.addEventListener("pointerdown", (event) => {
    if (axes && event.button === 0 && !event.target.closest(".point")) begun = where(event);
  });
  picture.addEventListener("pointermove", (event) => {
    if (!axes) return;
    const at = where(event);
    if (begun && Math.hypot(at[0] - begun[0], at[1] - begun[1]) > DRAG)
      picture.setPointerCapture(event.pointerId); // not before: it would take the click of a point
    cross(at);
    let nearest = null, least = NEAR;
    for (const one of marks.filter((m) => m.inside)) {
      const away = Math.hypot(one.x - at[0], one.y - at[1]);
      if (away < least) [nearest, least] = [one.point, away];
    }
    if (nearest && nearest !== said) tell(nearest);
  });
  picture.addEventListener("pointerup", (event) => {
    const from = begun, at = axes && where(event);
    begun = null;
    if (!from || Math.abs(at[0] - from[0]) < DRAG || Math.abs(at[1] - from[1]) < DRAG) return;
    const range = (axis, a, b) => [axis.value(a), axis.value(b)].sort((p, q) => p - q);
    view = [range(axes.x, from[0], at[0]), range(axes.y, from[1], at[1])];
    draw();
  });
  picture.addEventListener("pointerleave", () => {
    if (begun) return;
    aim?.replaceChildren();
    showSelected();
  });
  picture.addEventListener("dblclick", () => byKey("0"));
  logBox.addEventListener("change", () => {
    model.set("x_log", logBox.checked);
    model.save_changes();
  });

  function drawAll() {
    view = null;
    logBox.checked = model.get("x_log");
    drawLegend();
    draw();
  }
  model.on("change:content change:x_log", drawAll);
  model.on("change:selected", showSelected);
  drawLegend();
  logBox.checked = model.get("x_log");
  return followWidth(root, (now) => {
    width = now;
    draw();
  });
}

export default { render };
