// The overview below a time chart: the whole first panel in small, and the part that is shown.
//
// A drag inside the part moves it. A drag elsewhere chooses another part.

import { element } from "../dom.js";
import { shifted, thinned } from "./numbers.js";
import uPlot from "./uplot.js";

const COUNT = 300; // steps at most

export class Overview {
  constructor(state, resolve, zoom) {
    Object.assign(this, { state, resolve, zoom });
    this.part = element("div", { class: "part" });
    this.place = element("div", { class: "canvas" }, []);
    const title = "Drag to choose the steps to show";
    this.root = element("div", { class: "overview", "aria-hidden": "true", title }, [this.place, this.part]);
    this.root.addEventListener("pointerdown", (event) => this.#begin(event));
    this.resizing = new ResizeObserver(() => this.#fit());
    this.resizing.observe(this.place);
    this.data = [[]];
  }

  // Show the lines of a panel. data: steps, and a line per name.
  update(data) {
    const same = this.data.length === data.length;
    this.data = thinned(data[0], data.slice(1), [-Infinity, Infinity], COUNT);
    this.root.hidden = data[0].length < 2;
    if (this.plot && same) this.plot.setData(this.data, true);
    else this.#rebuild();
    this.range();
  }

  style() {
    this.plot?.redraw(false);
  }

  // Show which part of the steps the panels show.
  range() {
    const { range, whole } = this.state;
    if (!whole) return;
    const share = (step) => (100 * (step - whole[0])) / (whole[1] - whole[0] || 1);
    const [from, to] = (range ?? whole).map(share);
    Object.assign(this.part.style, { left: `${from}%`, width: `${to - from}%` });
    this.part.classList.toggle("all", !range);
  }

  destroy() {
    this.resizing.disconnect();
    this.plot?.destroy();
  }

  #rebuild() {
    this.plot?.destroy();
    this.plot = null;
    this.#fit();
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.place;
    if (!width || this.data[0].length < 2) return;
    if (this.plot) return this.plot.setSize({ width, height });
    const { colours } = this.state;
    this.plot = new uPlot({
      width, height, padding: [2, 0, 2, 0], legend: { show: false }, cursor: { show: false },
      axes: [{ show: false }, { show: false }],
      scales: { x: { time: false, range: (_, from, to) => [from, to] } },
      series: [{}, ...this.data.slice(1).map((_, i) => ({
        stroke: () => this.resolve(colours[i]), width: 1, alpha: 0.7, spanGaps: true, points: { show: false },
      }))],
    }, this.data, this.place);
  }

  #begin(event) {
    const { whole } = this.state, box = this.root.getBoundingClientRect();
    if (event.button || !whole) return;
    const stepAt = ({ clientX }) => {
      const share = Math.max(0, Math.min(1, (clientX - box.left) / box.width));
      return whole[0] + share * (whole[1] - whole[0]);
    };
    const start = stepAt(event), part = this.state.range;
    const inside = part && start >= part[0] && start <= part[1];
    const drag = (move) => {
      const now = stepAt(move);
      if (inside) return this.zoom(shifted(part, whole, now - start));
      const wide = Math.abs(now - start) > 0.005 * (whole[1] - whole[0]);
      if (wide) this.zoom([Math.min(now, start), Math.max(now, start)]);
    };
    this.root.setPointerCapture(event.pointerId);
    this.root.addEventListener("pointermove", drag);
    this.root.addEventListener("pointerup", () => this.root.removeEventListener("pointermove", drag), { once: true });
  }
}
