"""One view of an explorer in a page of its own: the bundle, and a model with a widget's state.

No JupyterLab and no kernel: `changed` gives the model other values, as Python would, and `state`
reads what the view wrote.
"""

import base64
from typing import Any

import anywidget
from playwright.sync_api import Page

PAGE = """<!doctype html><html lang="en"><title>view</title><style>
body {{ margin: 12px; background: var(--jp-layout-color0); color: var(--jp-ui-font-color1); }}
body {{ --jp-layout-color0: #ffffff; --jp-ui-font-color1: #1f2328; --jp-border-color1: #c5ccd3; }}
body {{ --jp-ui-font-color2: #59636e; --jp-layout-color2: #eef1f4; }}
body[data-jp-theme-light="false"] {{ --jp-layout-color0: #111111; --jp-ui-font-color1: #ffffffdd; }}
body[data-jp-theme-light="false"] {{ --jp-ui-font-color2: #ffffffb0; --jp-layout-color2: #303030; }}
body[data-jp-theme-light="false"] {{ --jp-border-color1: #616161; }}
{style}</style><body data-jp-theme-light="{light}"><main id="view"></main></body></html>"""

RENDER = """async ([script, state]) => {
  const revive = (value) => {
    if (Array.isArray(value)) return value.map(revive);
    if (value === null || typeof value !== "object") return value;
    if ("$bytes" in value)
      return new DataView(Uint8Array.from(atob(value.$bytes), (c) => c.charCodeAt(0)).buffer);
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
  };
  const handlers = {};
  const emit = (name, ...values) => (handlers[name] ?? []).forEach((act) => act(...values));
  const model = {
    state: revive(state), sent: [], saved: 0,
    get: (name) => model.state[name],
    set(name, value) {
      const changes = typeof name === "object" ? name : { [name]: value };
      const now = (v) => JSON.stringify(v);
      const other = Object.keys(changes).filter(
        (k) => typeof changes[k] === "object" && changes[k] && changes[k].panels
          || now(changes[k]) !== now(model.state[k]));
      Object.assign(model.state, changes);
      for (const key of other) emit(`change:${key}`);
      if (other.length) emit("change");
    },
    save_changes: () => { model.saved += 1; },
    send: (message) => model.sent.push(message),
    on: (names, act) => names.split(" ").forEach((name) => (handlers[name] ??= []).push(act)),
    off() {},
    emit,
  };
  window.model = model;
  window.revive = revive;
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const view = (await import(address)).default;
  window.ends = view.render({ model, el: document.getElementById("view") });
}"""


def plain(value: Any) -> Any:
    """Return a value for JSON. Bytes are marked, so that the page makes bytes of them again."""
    if isinstance(value, bytes | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def state_of(widget: anywidget.AnyWidget) -> dict[str, Any]:
    """Return what the widget's view gets from Python."""
    names = [n for n in widget.keys if not n.startswith("_") and n not in ("layout", "tabbable")]
    return {name: plain(getattr(widget, name)) for name in names}


def show(page: Page, widget: anywidget.AnyWidget, light: bool = True) -> None:
    """Render the view of a widget in an empty page."""
    page.goto("about:blank")
    page.set_content(PAGE.format(style=widget._css, light=str(light).lower()))
    page.evaluate(RENDER, [widget._esm, state_of(widget)])


def changed(page: Page, **values: Any) -> None:
    """Change values of the model, as Python would."""
    page.evaluate("(v) => model.set(revive(v))", plain(values))


def state(page: Page, name: str) -> Any:
    """Return a value of the model."""
    return page.evaluate("(name) => model.get(name)", name)
