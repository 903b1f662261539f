// One panel of a time chart: its lines on a canvas, a crosshair, and keys that move it.
//
// state: what all panels share. names, colours, hidden (a set of names), chosen (the emphasised
// name), smoothing, log, range (the part that is shown; null: all), whole, and step (the marked one).
// on: what the panel reports. hover(plot, index, line), leave(), mark(step), zoom(range),
// choose(name), escape().

import { element, keepKeys } from "../dom.js";
import { amount, count, percent } from "../words.js";
import { sameNumbers } from "./content.js";
import { bounds, nearest, positive, shifted, signs, smoothed, thinned, valueAt, zoomed } from "./numbers.js";
import uPlot from "./uplot.js";

const FONT = "12px system-ui, sans-serif";
const CLOSE = 40; // a line is near the pointer within so many pixels
const SHARP = 1, COARSE = 0.5; // points per pixel of the width: of few lines, and of many
const FAINT = 0.2; // opacity of lines behind the emphasised one
const BEHIND = 0.13; // opacity of recorded values behind their smoothed line
const CLEAR = 12; // more lines are thin, and only the emphasised one has its recorded values
const MANY = 40; // fewer values are not smoothed: an average of so few would be wrong by its delay
const HELP = "Arrow keys move the crosshair and change the line, plus and minus zoom, Enter marks the step.";

export class Plot {
  constructor(panel, state, resolve, on) {
    Object.assign(this, { panel, state, resolve, on });
    this.near = element("span", { class: "near" });
    this.hint = element("div", { class: "quiet", hidden: true });
    this.place = element("div", {
      class: "canvas", tabindex: 0, role: "application", "aria-roledescription": "time chart",
      "aria-label": this.#label(),
    });
    keepKeys(this.place);
    this.mark = element("div", { class: "mark", hidden: true });
    this.marked = element("div", { class: "marked", hidden: true });
    const head = element("div", { class: "head" }, [element("b", { text: panel.title }), this.near]);
    this.root = element("div", { class: "plot" }, [head, this.place, this.hint]);
    this.place.addEventListener("keydown", (event) => this.#onKey(event));
    this.place.addEventListener("blur", () => on.leave());
    this.place.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
    this.resizing = new ResizeObserver(() => this.#fit());
    this.resizing.observe(this.place);
    this.line = null; // the line at the crosshair: [group, index of the name]
    this.index = null;
    this.#prepare();
  }

  show = (value) => (value === null ? "–" : this.panel.percent ? percent(value) : amount(value));

  // Take other numbers of the same structure.
  update(panel) {
    if (String(this.#shownRange()) === this.drawnRange && sameNumbers(panel, this.panel)) return;
    this.panel = panel;
    this.place.setAttribute("aria-label", this.#label());
    this.redraw();
  }

  // Draw anew after a change of the numbers, the smoothing or the axis.
  redraw() {
    const before = this.logarithmic;
    this.drawnRange = String(this.#shownRange());
    this.#prepare();
    if (!this.plot) return this.#fit();
    if (before !== this.logarithmic) return this.#build();
    this.plot.setData(this.#data(), true);
    this.style();
  }

  // Draw anew after a change of what is hidden or emphasised, or of the theme.
  style() {
    if (!this.plot) return;
    const { names, hidden, chosen, smoothing } = this.state;
    this.plot.batch(() => {
      this.#each((_, i, kind, index) => {
        const series = this.plot.series[index];
        const behind = smoothing > 0 && (names.length <= CLEAR || names[i] === chosen);
        const shown = !hidden.has(names[i]) && (kind === 1 || behind);
        series.alpha = (chosen && names[i] !== chosen ? FAINT : 1) * (kind === 0 ? BEHIND : 1);
        series.width = names[i] === chosen && kind ? 3 : kind && names.length <= CLEAR ? 1.7 : 1;
        if (series.show !== shown) this.plot.setSeries(index, { show: shown });
      });
    });
    this.plot.redraw(false);
  }

  range() {
    this.drawnRange = String(this.#shownRange());
    this.plot?.setData(this.#data(), true);
  }

  // Show the marked step as a line.
  markStep() {
    const { step } = this.state, [from, to] = this.#shownRange();
    this.marked.hidden = step === null || step < from || step > to || !this.plot;
    if (!this.marked.hidden) this.marked.style.transform = `translateX(${this.plot.valToPos(step, "x")}px)`;
  }

  // Move the crosshair to a step, as another panel has it. null: no crosshair.
  follow(step) {
    this.index = step === null || !this.panel.steps.length ? null : nearest(this.panel.steps, step);
    this.mark.hidden = true;
    this.near.textContent = "";
    if (!this.plot) return;
    const left = this.index === null ? -10 : this.plot.valToPos(this.panel.steps[this.index], "x");
    this.plot.setCursor({ left, top: -10 }, false);
  }

  // Return the drawn value and the recorded one of a line at the step of the chart; null: none.
  values(group, i, step) {
    if (!this.panel.steps.length) return [null, null];
    const index = nearest(this.panel.steps, step);
    return [this.drawn, this.recorded].map((lines) => valueAt(lines[group][i], index));
  }

  // Mark the line at the crosshair, and write its value beside the title.
  point(line) {
    this.line = line;
    const value = line && this.drawn[line[0]][line[1]][this.index];
    this.mark.hidden = value === null || value === undefined || (this.logarithmic && value <= 0);
    if (!line) return (this.near.textContent = "");
    const { names, colours } = this.state;
    this.near.textContent = this.words();
    this.near.style.borderColor = colours[line[1]];
    if (this.mark.hidden || !this.plot) return;
    const left = this.plot.valToPos(this.panel.steps[this.index], "x");
    this.mark.style.transform = `translate(${left}px, ${this.plot.valToPos(value, "y")}px)`;
    this.mark.style.background = colours[line[1]];
    this.mark.title = names[line[1]];
  }

  // Return the value at the crosshair in words.
  words() {
    if (this.index === null || !this.line) return "";
    const [group, i] = this.line;
    const { title } = this.panel.groups[group];
    const value = this.show(valueAt(this.drawn[group][i], this.index));
    return `${this.state.names[i]}${title ? `, ${title}` : ""}: ${value} at ${count(this.panel.steps[this.index])}`;
  }

  destroy() {
    this.resizing.disconnect();
    this.plot?.destroy();
  }

  #label() {
    const { title, references } = this.panel;
    const lines = references.map(({ label, value }) => `, ${label} ${this.show(value)}`);
    return `${title} over the steps${lines.join("")}. ${HELP}`;
  }

  // Call act(group, line, kind, index) for every series of uPlot: the recorded values (kind 0),
  // which are seen behind a smoothed line only, and the line (kind 1).
  #each(act) {
    const { names } = this.state;
    this.panel.groups.forEach((_, g) =>
      names.forEach((__, i) => {
        for (const kind of [0, 1]) act(g, i, kind, 1 + 2 * (g * names.length + i) + kind);
      }));
  }

  #prepare() {
    const { panel, state } = this;
    this.recorded = panel.groups.map(({ lines }) => lines);
    const weight = panel.steps.length < MANY ? 0 : state.smoothing;
    this.drawn = this.recorded.map((lines) => lines.map((line) => smoothed(line, weight)));
    const { below, above } = state.log ? signs(this.recorded.flat()) : { below: 0, above: 0 };
    this.logarithmic = state.log && above > below;
    this.hint.hidden = !below && panel.steps.length > 0;
    this.hint.textContent = !panel.steps.length ? "No values yet." : above > below
      ? `${count(below)} values at or below 0 are not on the log axis.`
      : "Most values are at or below 0: the axis stays linear.";
    const seen = this.logarithmic ? positive : (line) => line;
    this.lines = [];
    this.#each((g, i, kind, index) => {
      this.lines[index - 1] = seen((kind ? this.drawn : this.recorded)[g][i]);
    });
  }

  // Return the numbers for uPlot: what the panel shows, and no more points than can be seen apart.
  #data() {
    const perPixel = this.state.names.length > CLEAR ? COARSE : SHARP;
    const points = Math.max(100, Math.round(this.place.clientWidth * perPixel));
    return thinned(this.panel.steps, this.lines, this.#shownRange(), points);
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.place;
    if (!width || !height) return; // in a hidden tab: it is called again when the tab is shown
    if (!this.plot) this.#build();
    else if (width !== this.plot.width || height !== this.plot.height) this.plot.setSize({ width, height });
  }

  #shownRange() {
    const [from, to] = this.state.range ?? this.state.whole ?? [0, 1];
    return from === to ? [from - 0.5, to + 0.5] : [from, to];
  }

  #build() {
    this.plot?.destroy();
    const { state, resolve } = this;
    const colour = (name) => () => resolve(name);
    const axis = {
      stroke: colour("var(--mpnas-quiet)"), font: FONT, labelFont: FONT,
      grid: { stroke: colour("var(--mpnas-grid)"), width: 1 }, ticks: { show: false },
    };
    const series = [{}];
    this.#each((g, i, kind, index) => {
      const { dashed } = this.panel.groups[g];
      series[index] = {
        stroke: colour(state.colours[i]), width: 1.7, spanGaps: true, dash: dashed ? [5, 4] : undefined,
        points: { size: 4, show: kind === 1 ? undefined : false },
      };
    });
    const show = this.panel.percent ? (v) => `${Number((100 * v).toFixed(1))} %` : amount;
    this.plot = new uPlot({
      width: this.place.clientWidth, height: this.place.clientHeight, padding: [8, 16, 0, 0],
      series, legend: { show: false },
      scales: {
        x: { time: false, range: () => this.#shownRange() },
        y: {
          distr: this.logarithmic ? 3 : 1,
          range: (_, low, high) =>
            bounds(low, high, this.panel.references.map(({ value }) => value), this.logarithmic),
        },
      },
      axes: [
        { ...axis, size: 26, values: (_, ticks) => ticks.map((t) => (Number.isInteger(t) ? amount(t) : "")) },
        { ...axis, size: 58, values: (_, ticks) => ticks.map((t) => (t === null ? "" : show(t))) },
      ],
      cursor: {
        y: false, points: { show: false }, drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => this.on.zoom(null) },
      },
      hooks: {
        setCursor: [() => this.#onPointer()],
        setSelect: [() => this.#onSelect()],
        draw: [(plot) => this.#drawMarks(plot)],
      },
    }, this.#data(), this.place);
    this.plot.over.append(this.marked, this.mark);
    this.plot.over.addEventListener("click", () => {
      if (this.index !== null) this.on.mark(this.panel.steps[this.index]);
    });
    this.style();
  }

  #onPointer() {
    const { left, top } = this.plot.cursor;
    if (left < 0 || !this.panel.steps.length) return this.on.leave();
    const index = nearest(this.panel.steps, this.plot.posToVal(left, "x"));
    this.on.hover(this, index, this.#nearestLine(index, top));
  }

  // Return the visible line that is nearest to the pointer; null: none is close.
  #nearestLine(index, top) {
    let best = null, least = CLOSE;
    this.#each((g, i, kind) => {
      if (kind === 0 || this.state.hidden.has(this.state.names[i])) return;
      const value = valueAt(this.drawn[g][i], index);
      if (value === null || (this.logarithmic && value <= 0)) return;
      const away = Math.abs(this.plot.valToPos(value, "y") - top);
      if (away < least) [least, best] = [away, [g, i]];
    });
    return best;
  }

  #onSelect() {
    const { left, width } = this.plot.select;
    if (width > 4) this.on.zoom([this.plot.posToVal(left, "x"), this.plot.posToVal(left + width, "x")]);
    if (width) this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  #zoom(x, factor) {
    const { whole } = this.state;
    if (!whole) return;
    const least = Math.min(4, whole[1] - whole[0]);
    this.on.zoom(zoomed(this.#shownRange(), whole, x, factor, least));
  }

  #onWheel(event) {
    const focused = this.place.matches(":focus, :focus-within");
    if (!this.plot || !(event.ctrlKey || event.metaKey || focused)) return; // the page scrolls
    event.preventDefault();
    const left = event.clientX - this.plot.over.getBoundingClientRect().left;
    this.#zoom(this.plot.posToVal(left, "x"), 1.0015 ** event.deltaY);
  }

  #onKey(event) {
    const { steps } = this.panel, { state } = this;
    if (event.altKey || event.metaKey || event.ctrlKey || !steps.length || !this.plot) return;
    const [from, to] = this.#shownRange();
    const first = nearest(steps, from), last = nearest(steps, to);
    const at = this.index ?? (state.step === null ? last : nearest(steps, state.step));
    const far = event.shiftKey ? 10 : 1;
    const move = (index) => this.on.hover(this, Math.max(first, Math.min(last, index)), this.line, true);
    const pan = (share) => state.range && this.on.zoom(shifted([from, to], state.whole, share * (to - from)));
    const acts = {
      ArrowLeft: () => move(at - far), ArrowRight: () => move(at + far),
      Home: () => move(first), End: () => move(last),
      ArrowUp: () => this.#changeLine(at, 1), ArrowDown: () => this.#changeLine(at, -1),
      PageUp: () => pan(-0.5), PageDown: () => pan(0.5),
      "+": () => this.#zoom(steps[at], 0.5), "=": () => this.#zoom(steps[at], 0.5),
      "-": () => this.#zoom(steps[at], 2), 0: () => this.on.zoom(null),
      Enter: () => this.on.mark(steps[at]), Escape: () => this.on.escape(),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }

  // Go to the next line above (1) or below (-1) at the crosshair.
  #changeLine(index, way) {
    const lines = [];
    this.#each((g, i, kind) => {
      if (kind === 0 || this.state.hidden.has(this.state.names[i])) return;
      const value = valueAt(this.drawn[g][i], index);
      if (value !== null) lines.push({ line: [g, i], value });
    });
    lines.sort((a, b) => a.value - b.value);
    const now = lines.findIndex(({ line: [g, i] }) => this.line?.[0] === g && this.line[1] === i);
    const start = way > 0 ? -1 : lines.length;
    const next = lines[Math.max(0, Math.min(lines.length - 1, (now < 0 ? start : now) + way))];
    if (next) this.on.hover(this, index, next.line, true);
  }

  // Draw the reference lines over the lines.
  #drawMarks({ ctx, bbox, valToPos }) {
    const ratio = uPlot.pxRatio, { resolve } = this;
    ctx.save();
    ctx.lineWidth = 1.5 * ratio;
    ctx.font = FONT.replace("12px", `${12 * ratio}px`);
    ctx.textAlign = "right";
    for (const { value, label } of this.panel.references) {
      const y = valToPos(value, "y", true);
      ctx.strokeStyle = ctx.fillStyle = resolve("var(--mpnas-ink)");
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.setLineDash([]);
      const x = bbox.left + bbox.width - 4 * ratio;
      const above = y - bbox.top > 20 * ratio ? y - 5 * ratio : y + 15 * ratio;
      ctx.strokeStyle = resolve("var(--mpnas-page)");
      ctx.lineJoin = "round";
      ctx.lineWidth = 4 * ratio;
      ctx.strokeText(`${label} ${this.show(value)}`, x, above);
      ctx.fillText(`${label} ${this.show(value)}`, x, above);
      ctx.lineWidth = 1.5 * ratio;
    }
    ctx.restore();
    this.markStep();
  }
}
