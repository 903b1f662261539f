// The keys of a time chart: a click hides or shows a line, a double click shows it alone.

import { asButton, element } from "../dom.js";

export class Legend {
  // toggle(name), alone(name): act on a line. over(name): emphasise it while it is pointed at.
  constructor({ names, colours }, { toggle, alone, over }) {
    this.names = names;
    this.keys = names.map((name, i) => {
      const key = element("button", {
        type: "button", class: "key", role: "switch",
        title: "Click: hide or show. Double click, or Shift and Enter: show alone.",
      }, [element("i", { style: `background:${colours[i]}`, "aria-hidden": "true" }), name]);
      asButton(key, (event) => (event.shiftKey ? alone(name) : toggle(name)));
      key.addEventListener("dblclick", () => alone(name));
      key.addEventListener("pointerenter", () => over(name));
      key.addEventListener("pointerleave", () => over(""));
      return key;
    });
    this.root = element("div", { class: "controls keys", role: "group", "aria-label": "lines to show" }, this.keys);
  }

  draw({ hidden, chosen }) {
    this.names.forEach((name, i) => {
      this.keys[i].setAttribute("aria-checked", !hidden.has(name));
      this.keys[i].classList.toggle("chosen", name === chosen);
    });
  }
}
