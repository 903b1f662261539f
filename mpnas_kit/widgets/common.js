// Functions that all views share: elements, numbers as text, keys, colours.

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, children = [], space = null) {
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

const drawn = (name, attributes = {}, children = []) =>
  element(name, attributes, children, SVG);

// 1234567 -> "1.23 M"; small numbers keep three digits.
function amount(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(value) >= unit) return `${Number((value / unit).toPrecision(3))} ${letter}`;
  return String(Number(value.toPrecision(3)));
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;

// While a control has the focus, JupyterLab's keyboard shortcuts do not react.
function keepKeys(root) {
  root.setAttribute("data-lm-suppress-shortcuts", "true");
}

// Make a node act like a button: a click, Enter and space call `act`.
function asButton(node, act) {
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
function moveWithArrows(event, row, column, at) {
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

// Return the colour of a value from 0 to 1, from weak to strong. Other values are clipped.
function shade(value) {
  const share = Math.max(0, Math.min(1, value || 0));
  return `color-mix(in srgb, var(--mpnas-strong) ${Math.round(100 * share)}%, var(--mpnas-weak))`;
}
