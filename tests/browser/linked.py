"""Explorers in a page without JupyterLab, linked to their widgets in this process.

What the browser sets is set in Python, and what Python changes by that is sent back, as a kernel
does. So a test of an explorer needs a second instead of a server.
"""

import base64
import html
import json
from typing import Any

import anywidget
import ipywidgets
from playwright.sync_api import Page

from mpnas_kit.widgets.view import STYLE, Explorer

LIGHT = {
    "--jp-ui-font-color1": "rgba(0, 0, 0, 0.87)",
    "--jp-ui-font-color2": "rgba(0, 0, 0, 0.54)",
    "--jp-layout-color0": "white",
    "--jp-layout-color2": "#eeeeee",
    "--jp-border-color1": "#bdbdbd",
}
DARK = {  # JupyterLab's dark theme
    "--jp-ui-font-color1": "rgba(255, 255, 255, 1)",
    "--jp-ui-font-color2": "rgba(255, 255, 255, 0.7)",
    "--jp-layout-color0": "#111111",
    "--jp-layout-color2": "#424242",
    "--jp-border-color1": "#616161",
}
PAGE = """<!doctype html><html lang="en"><head><title>explorer</title>
<link rel="icon" href="data:,"><style>{style}
body {{ {colors}; background: var(--jp-layout-color0); color: var(--jp-ui-font-color1);
  font: 13px system-ui; margin: 8px; }}
.box {{ display: flex; }} .vbox {{ flex-direction: column; }}
</style></head><body data-jp-theme-light="{light}"><main>{tree}</main></body></html>"""
SCRIPT = """async (parts) => {
  const bytes = (value) => {
    if (value === null || typeof value !== "object" || !("base64" in value)) return value;
    const text = atob(value.base64), data = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) data[i] = text.charCodeAt(i);
    return new DataView(data.buffer);
  };
  const models = {};
  class Model {
    constructor(id, state) {
      Object.assign(this, { id, state: {}, changed: {}, handlers: {} });
      for (const [key, value] of Object.entries(state)) this.state[key] = bytes(value);
    }
    get(key) { return this.state[key]; }
    set(key, value) {
      const all = typeof key === "object" ? key : { [key]: value };
      Object.assign(this.state, all);
      Object.assign(this.changed, all);
      this.tell(all);
    }
    tell(all) {
      for (const one of [...Object.keys(all).map((k) => `change:${k}`), "change"])
        for (const handler of this.handlers[one] ?? []) handler();
    }
    on(names, handler) {
      for (const name of names.split(" ")) (this.handlers[name] ??= []).push(handler);
    }
    async save_changes() {
      const all = this.changed;
      this.changed = {};
      if (Object.keys(all).length) apply(await window.python(this.id, all, null));
    }
    async send(message) { apply(await window.python(this.id, {}, message)); }
  }
  function apply(changes) {
    for (const [id, all] of Object.entries(changes)) {
      for (const key of Object.keys(all)) all[key] = bytes(all[key]);
      Object.assign(models[id].state, all);
      models[id].tell(all);
    }
  }
  window.mpnasModels = models;
  for (const [id, { state, script, kind }] of Object.entries(parts)) {
    const el = document.getElementById(id), model = (models[id] = new Model(id, state));
    if (kind === "view") {
      const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
      (await import(address)).default.render({ model, el });
    } else if (kind === "choice") {
      const select = el.querySelector("select");
      const draw = () => {
        const names = model.get("_options_labels");
        select.replaceChildren(...names.map((n, i) => new Option(n, i)));
        select.selectedIndex = model.get("index");
      };
      model.on("change", draw);
      select.addEventListener("change", () => {
        model.set("index", select.selectedIndex);
        model.save_changes();
      });
      draw();
    } else {
      const draw = () => { el.innerHTML = model.get("value"); };
      model.on("change", draw);
      draw();
    }
  }
}"""


class Linked:
    """An explorer in a page.

    page: page to show it in. explorer: the explorer. dark: whether the page is dark.
    """

    def __init__(self, page: Page, explorer: Explorer, dark: bool = False) -> None:
        self.widgets: dict[str, ipywidgets.Widget] = {}
        tree = self._tree(explorer)
        colors = "; ".join(f"{k}: {v}" for k, v in (DARK if dark else LIGHT).items())
        light = "false" if dark else "true"
        page.set_content(PAGE.format(style=STYLE, colors=colors, light=light, tree=tree))
        page.expose_function("python", self._set)
        self._sent = {name: _state(widget) for name, widget in self.widgets.items()}
        page.evaluate(SCRIPT, {name: self._part(name) for name in self.widgets})

    def _tree(self, widget: ipywidgets.Widget) -> str:
        classes = " ".join(widget._dom_classes)
        if isinstance(widget, ipywidgets.Box):
            kind = "vbox" if isinstance(widget, ipywidgets.VBox) else ""
            inside = "".join(map(self._tree, widget.children))
            return f'<div class="box {kind} {classes}">{inside}</div>'
        name = f"w{len(self.widgets)}"
        self.widgets[name] = widget
        if isinstance(widget, ipywidgets.Dropdown):
            label = html.escape(widget.description)
            inside = f'<label for="{name}s">{label}</label> <select id="{name}s"></select>'
            return f'<span id="{name}">{inside}</span>'
        return f'<div id="{name}" class="{classes}"></div>'

    def _part(self, name: str) -> dict[str, Any]:
        widget = self.widgets[name]
        view = isinstance(widget, anywidget.AnyWidget)
        choice = isinstance(widget, ipywidgets.Dropdown)
        kind = "view" if view else "choice" if choice else "text"
        script = str(widget._esm) if view else ""
        return {"state": self._sent[name], "script": script, "kind": kind}

    def _set(self, name: str, changes: dict[str, Any], message: Any) -> dict[str, Any]:
        """Do what the browser did, and return what changed by that, by widget."""
        widget = self.widgets[name]
        if message is not None:
            widget._handle_custom_msg(message, [])
        self._sent[name].update(changes)
        widget.set_state(changes)
        answer = {}
        for other, known in self._sent.items():
            now = _state(self.widgets[other])
            changed = {k: v for k, v in now.items() if known.get(k) != v}
            if changed:
                answer[other] = changed
            self._sent[other] = now
        return answer


def _state(widget: ipywidgets.Widget) -> dict[str, Any]:
    """Return the state of a widget as JSON; bytes as {"base64": ...}."""
    skipped = ("_esm", "_css", "layout", "style", "tooltip")
    state = {k: v for k, v in widget.get_state().items() if k not in skipped}
    for key, value in state.items():
        if isinstance(value, bytes | memoryview):
            state[key] = {"base64": base64.b64encode(value).decode()}
    found: dict[str, Any] = json.loads(json.dumps(state))
    return found
