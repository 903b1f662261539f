"""The view of an explorer in a page without JupyterLab, connected to its Python object."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
from playwright.sync_api import Page

from mpnas_kit.plots import style

# A model as a widget has it: changes and messages go to Python, whose answer has all traits.
PAGE = """<!doctype html><html lang="en"><head><title>View</title><meta charset="utf-8">
<style>body {{ margin: 8px; background: var(--jp-layout-color0, #fff); }} {dark} {css}</style>
</head><body {mark}><main id="place"></main><script type="module">
const handlers = {{}}, state = {{}};
function take(traits) {{
  for (const [name, value] of Object.entries(traits)) {{
    const bytes = typeof value === "object" && value?.bytes !== undefined;
    if (!bytes && JSON.stringify(state[name]) === JSON.stringify(value)) continue;
    state[name] = bytes
      ? new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer) : value;
    for (const handler of handlers[`change:${{name}}`] ?? []) handler();
  }}
}}
let changes = {{}};
const model = {{
  get: (name) => state[name],
  set: (name, value) => {{
    const all = typeof name === "string" ? {{ [name]: value }} : name;
    Object.assign(changes, all);
    take(all);
  }},
  save_changes: async () => {{
    const sent = changes;
    changes = {{}};
    take(JSON.parse(await window.toPython(JSON.stringify(sent), "")));
  }},
  send: async (message) => take(JSON.parse(await window.toPython("{{}}", JSON.stringify(message)))),
  on: (names, handler) => names.split(" ").forEach((n) => (handlers[n] ??= []).push(handler)),
  off: () => {{}},
}};
take(JSON.parse(await window.toPython("{{}}", "")));
const source = new Blob([{source}], {{ type: "text/javascript" }});
const view = await import(URL.createObjectURL(source));
view.default.render({{ model, el: document.getElementById("place") }});
window.takeTraits = take;
document.body.dataset.ready = "";
</script></body></html>"""

OWN = ("layout", "tabbable", "tooltip")  # traits of every widget

# The colours of JupyterLab's dark theme.
DARK = """body { --jp-layout-color0: #111; --jp-layout-color2: #333; --jp-border-color1: #757575;
  --jp-ui-font-color1: #fff; --jp-ui-font-color2: #b3b3b3; }"""


def traits(view: anywidget.AnyWidget, names: list[str]) -> dict[str, Any]:
    """The values of traits, with bytes in base64."""
    values = {name: getattr(view, name) for name in names}
    return {
        name: {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def open_view(page: Page, folder: Path, view: anywidget.AnyWidget, dark: bool = False) -> None:
    """Open a page with this view. What is chosen there arrives in Python, and the other way round.

    A change from Python is shown after the next change in the page, or after `push`.
    """
    names = [n for n in view.keys if n not in OWN and not n.startswith("_")]
    first = True

    def hear(changes: str, message: str) -> str:
        nonlocal first
        for name, value in json.loads(changes).items():
            setattr(view, name, value)
        if message:
            view._handle_custom_msg(json.loads(message), [])
        answered = names if first else [n for n in names if n not in ("graph", "probabilities")]
        first = False
        return json.dumps(traits(view, answered))

    page.expose_function("toPython", hear)
    mark = 'data-jp-theme-light="false"' if dark else ""
    text = PAGE.format(
        css=view._css + style.palette_css(".mpnas", '[data-jp-theme-light="false"] .mpnas'),
        source=json.dumps(view._esm),
        dark=DARK if dark else "",
        mark=mark,
    )
    file = folder / "view.html"
    file.write_text(text, encoding="utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-ready]", state="attached")


def push(page: Page, view: anywidget.AnyWidget, *names: str) -> None:
    """Show traits that Python has changed."""
    page.evaluate("(values) => window.takeTraits(values)", traits(view, list(names)))


def until(page: Page, true: Callable[[], bool]) -> None:
    """Wait until something is true in Python, because the page tells it a little later."""
    for _ in range(250):
        if true():
            return
        page.wait_for_timeout(20)
    raise AssertionError("the page did not tell Python within 5 s")
