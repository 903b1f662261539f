// Figures: save them as SVG or PNG that look the same everywhere.

import { fileName, save, tools } from "./saving.js";

const SCALE = 2; // pixels of a PNG per pixel of the page

// Replace CSS variables by the colours beside them, which are those of a light page.
// "fill: var(--ink, #123456)" -> "fill: #123456"
export function withoutVariables(text) {
  let [before, now] = [null, text];
  while (before !== now) {
    before = now;
    now = now.replace(/var\(\s*--[\w-]+\s*,\s*((?:[^()]|\([^()]*\))*?)\s*\)/g, "$1");
  }
  return now;
}

// Width and height in pixels: the width in the style, or that of the view box.
export function sizeOf(style, viewBox) {
  const [, , width, height] = viewBox.trim().split(/[\s,]+/).map(Number);
  const shown = Number(/(?:^|[;\s])width:\s*([\d.]+)px/.exec(style)?.[1] ?? (width * 96) / 72);
  return [Math.round(shown), Math.round((shown * height) / width)];
}

// The figure as the text of an SVG file.
export function svgText(svg, fonts) {
  const copy = svg.cloneNode(true);
  for (const tip of copy.querySelectorAll("[data-tip]")) {
    const title = copy.ownerDocument.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = tip.getAttribute("data-tip");
    tip.prepend(title);
    tip.removeAttribute("data-tip");
    tip.classList.remove("current");
  }
  const [width, height] = sizeOf(copy.getAttribute("style") ?? "", copy.getAttribute("viewBox"));
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.setAttribute("style", `font-family: ${fonts.replaceAll('"', "'")}`);
  copy.removeAttribute("tabindex");
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return withoutVariables(new XMLSerializer().serializeToString(copy));
}

export function addFigureTools(figure) {
  const svg = figure.querySelector("svg");
  if (!svg?.hasAttribute("viewBox")) return;
  const about = (figure.querySelector("figcaption")?.textContent || svg.getAttribute("aria-label")) ?? "";
  const name = (suffix) => fileName(location.pathname, about.split(/[.:]/)[0], suffix);
  const text = () => svgText(svg, getComputedStyle(svg).fontFamily);
  const saveSvg = () => save(new Blob([text()], { type: "image/svg+xml" }), name("svg"));
  const savePng = async () => save(await pngOf(text()), name("png"));
  const row = tools([
    ["SVG", "Save this figure as SVG", saveSvg],
    ["PNG", "Save this figure as PNG", savePng],
  ]);
  figure.append(row);
}

async function pngOf(text) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * image.width;
  canvas.height = SCALE * image.height;
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
