// Elements of a view, and how they react to keys.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, children = [], space = null) {
  const node = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key.startsWith("aria-") && typeof value === "boolean") node.setAttribute(key, value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

export const drawn = (name, attributes = {}, children = []) =>
  element(name, attributes, children, SVG);

const OURS = ".mpnas, .mpnas-explorer, .mpnas-app";
let heard = null; // the document whose controls are marked

// While a control of an explorer has the focus, JupyterLab's keyboard shortcuts do not react.
//
// JupyterLab looks for the mark from the control upwards, and some of its shortcuts (arrow keys, Shift
// and Enter) are for the control itself. So every control is marked when it gets the focus, also
// those that ipywidgets draws.
export function keepKeys(root) {
  const mark = (node) => node.setAttribute("data-lm-suppress-shortcuts", "true");
  mark(root);
  if (heard === document) return;
  heard = document;
  document.addEventListener("focusin", ({ target }) => target.closest(OURS) && mark(target));
}

// Make a node act like a button: a click, Enter and space call `act`.
export function asButton(node, act) {
  node.addEventListener("click", act);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      act(event);
    }
  });
}

// Move the focus in a grid with the arrow keys. at(row, column) is a node or undefined.
export function moveWithArrows(event, row, column, at) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  for (let i = 1; i < 64; i++) {
    const next = at(row + i * step[0], column + i * step[1]);
    if (next) return next.focus();
  }
}
