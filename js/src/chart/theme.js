// Colours for a canvas: it knows no CSS variables, so they are resolved, again after every change.

// Return a function that turns a colour of CSS, such as var(--mpnas-ink), into a plain one.
export function resolver(root) {
  const probe = root.appendChild(document.createElement("span"));
  probe.hidden = true;
  const known = new Map();
  const resolve = (colour) => {
    if (!known.has(colour)) {
      probe.style.color = colour;
      known.set(colour, getComputedStyle(probe).color);
    }
    return known.get(colour);
  };
  resolve.forget = () => known.clear();
  return resolve;
}

// Call `react` when the page changes between light and dark. Return a function that ends this.
export function onTheme(react) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const observer = new MutationObserver(react);
  const attributeFilter = ["class", "style", "data-theme", "data-jp-theme-light", "data-jp-theme-name"];
  for (const node of [document.documentElement, document.body])
    observer.observe(node, { attributes: true, attributeFilter });
  dark.addEventListener("change", react);
  return () => {
    observer.disconnect();
    dark.removeEventListener("change", react);
  };
}
