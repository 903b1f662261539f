// Panels of lines or points over a common horizontal axis. Check boxes show and hide the lines.

import { asButton, drawn, element, keepKeys } from "../dom.js";
import { amount } from "../words.js";

const PAD = { left: 58, right: 12, top: 26, bottom: 40 };

function ticks(low, high, count = 4) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9 * step; t += step) found.push(t);
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10)
    found.push(...[1, 2, 5].map((m) => m * power).filter((t) => t >= low && t <= high));
  return found;
}

function scale(low, high, from, to, log) {
  const f = log ? Math.log : (v) => v;
  const [a, b] = [f(low), f(high)];
  return (v) => from + ((f(v) - a) / (b - a || 1)) * (to - from);
}

function render({ model, el }) {
  const root = element("div", { class: "mpnas chart" });
  keepKeys(root);
  const legend = element("div", { class: "controls", role: "group", "aria-label": "lines to show" });
  const card = element("div", { class: "card", role: "status", "aria-live": "polite" });
  const panels = element("div", { class: "controls", style: "align-items:flex-start" });
  root.append(legend, panels, card);
  el.append(root);
  const off = new Set();

  function drawLegend(content) {
    const names = Object.keys(content.colors || {});
    legend.replaceChildren(...(content.legend ? names : []).map((name) => {
      const box = element("input", { type: "checkbox", checked: !off.has(name) });
      box.checked = !off.has(name);
      box.addEventListener("change", () => {
        box.checked ? off.delete(name) : off.add(name);
        draw();
      });
      return element("label", { class: "chip" }, [
        box, element("i", { style: `background:${content.colors[name]}`, "aria-hidden": "true" }), name,
      ]);
    }));
  }

  function panel(content, one) {
    const [WIDTH, HEIGHT] = content.panels.length > 1 ? [430, 210] : [760, 380];
    const seen = one.series.filter((s) => !off.has(s.name));
    const all = (key) => seen.flatMap((s) => s[key]).filter((v) => v !== null && Number.isFinite(v));
    const xs = all("x"), ys = all("y");
    const range = (values, given, log) => {
      if (given) return given;
      if (!values.length) return [0, 1];
      const [low, high] = [Math.min(...values), Math.max(...values)];
      if (log) return [low / 1.15, high * 1.15];
      const room = one.points ? 0.08 * (high - low || 1) : 0;
      return low === high ? [low - 0.5, high + 0.5] : [low - room, high + room];
    };
    const [x0, x1] = range(xs, content.x_range, content.x_log), [y0, y1] = range(ys, one.y_range, false);
    const X = scale(x0, x1, PAD.left, WIDTH - PAD.right, content.x_log);
    const Y = scale(y0, y1, HEIGHT - PAD.bottom, PAD.top, false);
    const show = one.percent ? (v) => `${Number((100 * v).toFixed(1))} %` : amount;
    const label = `${one.title} over ${content.x_title}`;
    const picture = drawn("svg", { width: WIDTH, height: HEIGHT, role: "group", "aria-label": label });
    picture.append(drawn("text", { x: PAD.left - 46, y: 14, text: one.title }));
    for (const t of ticks(y0, y1)) {
      picture.append(drawn("path", { class: "axis", d: `M${PAD.left} ${Y(t)}H${WIDTH - PAD.right}` }));
      picture.append(drawn("text", { x: PAD.left - 6, y: Y(t) + 4, "text-anchor": "end", class: "quiet", text: show(t) }));
    }
    for (const t of content.x_log ? logTicks(x0, x1) : ticks(x0, x1))
      picture.append(drawn("text", { x: X(t), y: HEIGHT - PAD.bottom + 17, "text-anchor": "middle", class: "quiet", text: amount(t) }));
    picture.append(drawn("text", { x: (PAD.left + WIDTH - PAD.right) / 2, y: HEIGHT - 6, "text-anchor": "middle", class: "quiet", text: content.x_title }));
    let names = 0;  // names of points are written above and below them in turn
    for (const s of seen) {
      const color = content.colors[s.name] || "var(--mpnas-ink)";
      if (s.x.length > 1 && !s.points) {
        let d = "";
        s.x.forEach((v, i) => { if (s.y[i] !== null) d += `${d ? "L" : "M"}${X(v).toFixed(1)} ${Y(s.y[i]).toFixed(1)}`; });
        const line = drawn("path", { d, fill: "none", stroke: color, "stroke-width": 1.8, "stroke-dasharray": s.dashed ? "5 3" : null });
        line.append(drawn("title", { text: s.about || s.name }));
        picture.append(line);
      }
      if (s.points) s.x.forEach((v, i) => {
        const key = s.keys ? s.keys[i] : null;
        const words = `${s.labels ? s.labels[i] : s.name}: ${show(s.y[i])} at ${amount(v)}`;
        const dot = drawn("circle", {
          class: "body", cx: X(v), cy: Y(s.y[i]), r: s.small ? 3.5 : 6, fill: color, stroke: "var(--mpnas-page)",
          tabindex: key === null ? null : 0, role: key === null ? "img" : "button", "aria-label": words,
          "aria-pressed": key === null ? null : model.get("selected") === key,
        });
        if (key !== null && model.get("selected") === key) dot.setAttribute("stroke", "#d9780f"), dot.setAttribute("stroke-width", 3);
        dot.addEventListener("mouseenter", () => { card.textContent = words; });
        dot.addEventListener("focus", () => { card.textContent = words; });
        if (key !== null) asButton(dot, () => { model.set("selected", key); model.save_changes(); });
        picture.append(dot);
        if (s.named || model.get("selected") === key && key !== null)
          picture.append(drawn("text", {
            x: X(v) + (X(v) > WIDTH - 200 ? -9 : 9), y: Y(s.y[i]) + (names++ % 2 ? 18 : -9), text: s.name, "aria-hidden": "true",
            "text-anchor": X(v) > WIDTH - 200 ? "end" : "start",
          }));
      });
    }
    return picture;
  }

  function draw() {
    const content = model.get("content");
    if (!content.panels) return;
    panels.replaceChildren(...content.panels.map((one) => panel(content, one)));
    card.style.display = content.panels.some((p) => p.points) ? "" : "none";
  }

  model.on("change:content", () => { drawLegend(model.get("content")); draw(); });
  model.on("change:selected", draw);
  drawLegend(model.get("content"));
  draw();
}

export default { render };
