// The bar above an explorer: its name, what can be exported, whether Python computes, and errors.
//
// A click sends { do: KIND }. Python answers with { kind, name, text } and, for files, a buffer.

import { asButton, element, keepKeys } from "../dom.js";

const BUTTONS = { svg: "SVG", png: "PNG", csv: "CSV", code: "Copy as Python" };
const ABOUT = {
  svg: "Save the figure as SVG",
  png: "Save the figure as PNG",
  csv: "Save the data as CSV",
  code: "Copy the Python code that makes this view",
};
const TYPES = { svg: "image/svg+xml", png: "image/png", csv: "text/csv" };

// Let the browser save bytes as a file.
export function save(name, bytes, type) {
  const address = URL.createObjectURL(new Blob([bytes], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// Copy text. Return whether it worked: pages that are not from this machine need https for it.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function render({ model, el }) {
  const buttons = Object.keys(BUTTONS).map((kind) => {
    const button = element("button", { type: "button", text: BUTTONS[kind], title: ABOUT[kind] });
    asButton(button, () => {
      said.textContent = "";
      model.send({ do: kind });
    });
    return button;
  });
  const said = element("span", { role: "status", class: "quiet" });
  const code = element("textarea", { readonly: true, rows: 5, hidden: true, "aria-label": "Python code" });
  const problem = element("div", { class: "problem", role: "alert", hidden: true });
  const tools = element("span", { class: "tools", role: "group", "aria-label": "export" }, buttons);
  const root = element("div", { class: "mpnas bar" }, [
    element("div", { class: "controls" }, [element("h3", { text: model.get("title") }), tools, said]),
    code,
    problem,
  ]);
  keepKeys(root);
  el.append(root);

  function showBusy() {
    root.classList.toggle("busy", model.get("busy"));
  }
  function showProblem() {
    problem.textContent = model.get("problem");
    problem.hidden = !model.get("problem");
  }
  async function answer({ kind, name, text }, buffers) {
    code.hidden = true;
    if (kind !== "code") {
      save(name, buffers[0], TYPES[kind]);
      said.textContent = `Saved ${name}`;
    } else if (await copy(text)) {
      said.textContent = "Copied";
    } else {
      code.value = text;
      code.hidden = false;
      code.select();
      said.textContent = "The browser does not let this page copy: press Ctrl+C";
    }
  }
  model.on("change:busy", showBusy);
  model.on("change:problem", showProblem);
  model.on("msg:custom", answer);
  showBusy();
  showProblem();
}

export default { render };
