// A time chart: panels of lines over the same steps, with one crosshair, one zoom and one legend.
//
// model: content (see chart/content.js), hidden (names of lines), domain (the emphasised line),
// step (the marked step, or null), zoom (first and last step that are shown, or empty), smoothing
// (0 to below 1), and log (whether vertical axes are logarithmic). All but content are written here.

import { read, structure, structureOf } from "../chart/content.js";
import { Legend } from "../chart/legend.js";
import { extent } from "../chart/numbers.js";
import { Overview } from "../chart/overview.js";
import { Plot } from "../chart/plot.js";
import { Readout } from "../chart/readout.js";
import { onTheme, resolver } from "../chart/theme.js";
import { element, keepKeys } from "../dom.js";

const PAUSE = 250; // milliseconds after the last key before the values are said, or the state sent

function render({ model, el }) {
  const root = element("div", { class: "mpnas chart" });
  keepKeys(root);
  el.append(root);
  const resolve = resolver(root);
  const state = { hidden: new Set(), range: null, whole: null, step: null }; // what all parts read
  let plots = [], legend = null, readout = null, overview = null, built = "", named = "", pointed = "";
  let near = null, at = null, frame = null, saying = null, saving = null;

  const log = element("input", { type: "checkbox" });
  const smooth = element("input", { type: "range", min: 0, max: 0.99, step: 0.01 });
  const amountOf = element("span", { class: "amount" });
  const whole = element("button", { type: "button", text: "All steps", disabled: true });
  const note = element("span", { class: "quiet" });
  const said = element("div", { role: "status", class: "said" });
  const tools = element("div", { class: "controls", role: "group", "aria-label": "how lines are drawn" }, [
    element("label", {}, [log, "log axis"]),
    element("label", {}, ["smoothing", smooth, amountOf]),
    whole, note,
  ]);
  const board = element("div", { class: "board" });
  root.append(tools, board, said);

  // Write to the model. Sliders and drags write often: the kernel hears of the last value.
  function set(changes) {
    model.set(changes);
    clearTimeout(saving);
    saving = setTimeout(() => model.save_changes(), PAUSE / 5);
  }
  const on = {
    hover(plot, index, line, byKey = false) {
      at = plot.panel.steps[index];
      near = line && { plot, line };
      for (const one of plots) if (one !== plot || byKey) one.follow(at);
      plot.index = index;
      plot.point(line);
      later();
      if (byKey) say(() => plot.words() || `step ${at}`);
    },
    leave() {
      if (at === null) return;
      at = near = null;
      for (const plot of plots) plot.follow(null);
      later();
    },
    mark: (step) => set({ step: step === model.get("step") ? null : step }),
    zoom: (range) => set({ zoom: range ?? [] }),
    escape() {
      if (model.get("step") !== null) set({ step: null });
      else if (state.range) set({ zoom: [] });
      on.leave();
    },
    choose: (name) => set({ domain: name === model.get("domain") ? "" : name }),
    toggle: (name) => set({ hidden: state.names.filter((n) => (n === name) !== state.hidden.has(n)) }),
    alone(name) {
      const others = state.names.filter((n) => n !== name);
      const is = others.every((n) => state.hidden.has(n)) && !state.hidden.has(name);
      set({ hidden: is ? [] : others });
    },
    over(name) {
      pointed = name;
      restyle();
    },
  };

  function say(words) {
    clearTimeout(saying);
    saying = setTimeout(() => { said.textContent = words(); }, PAUSE);
  }
  // Write the values once per frame, however often the pointer moves.
  function later() {
    frame ??= requestAnimationFrame(() => {
      frame = null;
      writeValues();
    });
  }
  function writeValues() {
    const [step, when] = at !== null ? [at, "at step"]
      : state.step !== null ? [state.step, "at the marked step"] : [state.whole?.[1] ?? null, "at the last step"];
    readout?.draw(state, step, when, near);
  }

  // Panels that are there already, with the same lines, keep their canvas.
  function build() {
    const kept = new Map(plots.map((plot) => [structureOf(plot.panel), plot]));
    if (String(state.names) !== named) kept.clear();
    named = String(state.names);
    const before = plots;
    plots = state.panels.map((panel) => {
      const plot = kept.get(structureOf(panel));
      if (!plot) return new Plot(panel, state, resolve, on);
      kept.delete(structureOf(panel));
      plot.update(panel);
      return plot;
    });
    for (const one of [...before, overview]) if (!plots.includes(one)) one?.destroy();
    at = near = null;
    legend = new Legend(state, on);
    readout = new Readout(state, plots, on.choose);
    overview = new Overview(state, resolve, on.zoom);
    const grid = element("div", { class: `plots${plots.length === 1 ? " single" : ""}` }, plots.map((p) => p.root));
    board.replaceChildren(legend.root, element("div", { class: "beside" }, [
      element("div", {}, [grid, overview.root]), readout.root,
    ]));
  }
  function takeContent() {
    const content = read(model.get("content"));
    Object.assign(state, content, { whole: extent(content.panels) });
    note.textContent = content.note;
    const now = structure(content);
    takeRange(false);
    if (now !== built) {
      built = now;
      takeState();
      build();
    } else plots.forEach((plot, i) => plot.update(content.panels[i]));
    draw();
  }
  function takeState() {
    state.hidden = new Set(model.get("hidden"));
    state.chosen = model.get("domain");
    state.step = model.get("step");
    state.smoothing = model.get("smoothing");
    state.log = model.get("log");
    log.checked = state.log;
    smooth.value = state.smoothing;
    amountOf.textContent = state.smoothing ? state.smoothing.toFixed(2) : "off";
  }
  function takeRange(show = true) {
    const zoom = model.get("zoom");
    state.range = zoom.length === 2 && state.whole ? zoom : null;
    whole.disabled = !state.range;
    if (!show) return;
    for (const one of [...plots, overview]) one?.range();
  }
  function restyle() {
    takeState();
    if (state.names.includes(pointed)) state.chosen = pointed;
    for (const plot of plots) plot.style();
    legend.draw(state);
    writeValues();
  }
  function redraw() {
    takeState();
    for (const plot of plots) plot.redraw();
    draw();
  }
  function draw() {
    const [first] = plots;
    if (first) overview.update([first.panel.steps, ...first.drawn[0]]);
    legend.draw(state);
    writeValues();
  }

  log.addEventListener("change", () => set({ log: log.checked }));
  smooth.addEventListener("input", () => set({ smoothing: Number(smooth.value) }));
  whole.addEventListener("click", () => set({ zoom: [] }));
  model.on("change:content", takeContent);
  model.on("change:hidden change:domain", restyle);
  model.on("change:step", () => {
    takeState();
    for (const plot of plots) plot.markStep();
    writeValues();
  });
  model.on("change:smoothing change:log", redraw);
  model.on("change:zoom", () => takeRange());
  // The table stands beside the panels where there is room for both.
  const resize = new ResizeObserver(() => root.classList.toggle("wide", root.clientWidth >= 1700));
  resize.observe(root);
  const endTheme = onTheme(() => {
    resolve.forget();
    for (const one of [...plots, overview]) one?.style();
  });
  takeContent();

  return () => {
    endTheme();
    resize.disconnect();
    clearTimeout(saying);
    clearTimeout(saving);
    cancelAnimationFrame(frame);
    for (const one of [...plots, overview]) one?.destroy();
  };
}

export default { render };
