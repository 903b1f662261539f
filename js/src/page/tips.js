// Values in a figure: the text of an element's title is shown at once, by pointer, touch and keys.

import { element } from "../dom.js";

const GAP = 12; // pixels between a value and what it is of

// Corner of a box of the given size beside a point, inside a window.
export function placed(point, size, around) {
  const left = Math.min(Math.max(4, point.x - size.width / 2), Math.max(4, around.width - size.width - 4));
  const above = point.y - size.height - GAP;
  return { left, top: above >= 4 ? above : Math.min(point.y + GAP, around.height - size.height - 4) };
}

// Index after a key, of `count` elements; -1: none is chosen yet.
export function indexAfter(key, index, count) {
  const next = {
    ArrowRight: index + 1,
    ArrowDown: index + 1,
    ArrowLeft: index < 0 ? count - 1 : index - 1,
    ArrowUp: index < 0 ? count - 1 : index - 1,
    Home: 0,
    End: count - 1,
  }[key];
  return next === undefined ? null : Math.max(0, Math.min(count - 1, next));
}

export function showTips(figures) {
  const box = element("div", { class: "tip-box", role: "status" });
  document.body.append(box);
  let current = null;

  function hide() {
    current?.classList.remove("current");
    current = null;
    box.textContent = "";
    box.classList.remove("shown");
  }

  function show(tip, point) {
    if (tip !== current) {
      hide();
      current = tip;
      tip.classList.add("current");
      box.textContent = tip.getAttribute("data-tip");
      box.classList.add("shown");
    }
    const { left, top } = placed(point, box.getBoundingClientRect(), {
      width: document.documentElement.clientWidth,
      height: innerHeight,
    });
    box.style.transform = `translate(${left}px, ${top}px)`;
  }

  for (const svg of figures) {
    const tips = [...svg.querySelectorAll(".tip")].filter(keepTitle);
    if (!tips.length) continue;
    svg.setAttribute("tabindex", "0");
    const underPointer = (event) => {
      const tip = event.target.closest("[data-tip]");
      if (tip) show(tip, { x: event.clientX, y: event.clientY });
      else hide();
    };
    svg.addEventListener("pointermove", underPointer);
    svg.addEventListener("pointerdown", underPointer);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const next = indexAfter(event.key, tips.indexOf(current), tips.length);
      if (next === null) return;
      event.preventDefault();
      tips[next].scrollIntoView({ block: "nearest", inline: "nearest" });
      const at = tips[next].getBoundingClientRect();
      show(tips[next], { x: at.left + at.width / 2, y: at.top });
    });
  }
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("scroll", hide, { passive: true });
  addEventListener("pointerdown", (event) => event.target.closest?.("[data-tip]") ?? hide());
}

// Move the title of an element to an attribute, so that the browser does not show it too.
function keepTitle(tip) {
  const title = [...tip.children].find((child) => child.tagName === "title");
  if (!title) return false;
  tip.setAttribute("data-tip", title.textContent);
  title.remove();
  return true;
}
