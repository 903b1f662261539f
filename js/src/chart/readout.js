// The values of all lines at one step, as a table that keeps its size while the step changes.

import { asButton, element } from "../dom.js";
import { count } from "../words.js";

export class Readout {
  // plots: panels of the chart. choose(name): choose the line of a row.
  constructor({ names, colours }, plots, choose) {
    this.names = names;
    this.columns = plots.flatMap((plot) =>
      plot.panel.groups.map(({ title }, group) => ({ plot, group, title })));
    this.caption = element("caption");
    this.cells = names.map(() => this.columns.map(() => element("td", { text: "–" })));
    this.buttons = names.map((name, i) => {
      const button = element("button", { type: "button", title: `Emphasise ${name} in all views` }, [
        element("i", { style: `background:${colours[i]}`, "aria-hidden": "true" }), name,
      ]);
      asButton(button, () => choose(name));
      return button;
    });
    this.rows = names.map((_, i) =>
      element("tr", {}, [element("th", { scope: "row" }, [this.buttons[i]]), ...this.cells[i]]));
    const heads = this.columns.map(({ plot, title }) =>
      element("th", { scope: "col", text: title ? `${plot.panel.title}, ${title}` : plot.panel.title }));
    this.table = element("table", { class: "values" }, [
      this.caption,
      element("thead", {}, [element("tr", {}, [element("td"), ...heads])]),
      element("tbody", {}, this.rows),
    ]);
    this.root = element("div", {
      class: "readout", role: "region", "aria-label": "values at one step", tabindex: 0,
    }, [this.table]);
  }

  // step: the step to show. when: what it is, in words. near: plot, and line of it, to mark; or null.
  draw({ hidden, chosen, smoothing }, step, when, near) {
    const kind = smoothing ? " · smoothed; the recorded value is shown on hover" : "";
    write(this.caption, step === null ? "no values yet" : `${when} ${count(step)}${kind}`);
    this.names.forEach((name, i) => {
      this.rows[i].classList.toggle("off", hidden.has(name));
      this.rows[i].classList.toggle("chosen", name === chosen);
      this.buttons[i].setAttribute("aria-pressed", name === chosen);
      this.columns.forEach(({ plot, group }, c) => {
        const [drawn, recorded] = step === null ? [null, null] : plot.values(group, i, step);
        const cell = this.cells[i][c];
        write(cell, plot.show(drawn));
        if (smoothing && recorded !== null) cell.title = plot.show(recorded);
        else cell.removeAttribute("title");
        const here = near?.plot === plot && near.line[0] === group && near.line[1] === i;
        cell.classList.toggle("near", here);
      });
    });
  }
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
