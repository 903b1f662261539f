// The picture: nodes in columns and rows above the lines of the domains. Nodes are made once, and
// follow the state. A line can be dragged to another node of a layer.

import { asButton, drawn, element, moveWithArrows } from "../dom.js";
import { layOut, line, nearest, shortened } from "./layout.js";
import { newLines } from "./lines.js";
import { differs, isPinned, kindOf, nameOf, usersInWords } from "./state.js";

const FAR = 5; // pixels that the pointer moves before a press is a drag

// Return { root, resize, update, emphasise }.
//
// on: what the picture calls. hover(place or null), press(place, event), domain(index or -1) under
// the pointer, choose(index), move(index, place).
export function newPicture(graph, on) {
  const names = drawn("svg", { class: "rows", "aria-hidden": "true" });
  const picture = drawn("svg", {
    class: "picture", role: "group",
    "aria-label": "the layers of the search space from left to right, one row per choice",
  });
  const lines = newLines(graph);
  const stack = element("div", { class: "stack" }, [...lines.layers, picture]);
  const root = element("div", { class: "scroll" }, [names, stack]);
  const rows = graph.rows.map((name) =>
    drawn("text", { "text-anchor": "end", class: "quiet", text: name === "zero" ? "skip" : name }));
  const heads = graph.layers.map((name) =>
    drawn("text", { y: 18, "text-anchor": "middle", class: "quiet" }, [drawn("title", { text: name }), ""]));
  const ends = graph.domains.map(newEnd);
  const shown = drawn("g");
  const ghost = drawn("path", { class: "ghost", hidden: true });
  const marks = graph.nodes.flatMap((column, layer) => column.map((_, k) => newMark([layer, k])));
  const flags = drawn("g", { class: "moved", "aria-hidden": "true" });
  names.append(...rows);
  picture.append(...heads, shown, ghost, ...marks.map((one) => one.group), flags);
  marks[0].group.setAttribute("tabindex", 0);
  const markAt = new Map(marks.map((mark) => [mark.place.join(" "), mark]));
  let layout = null, state = null, drag = null;

  function newEnd(name, d) {
    const hit = drawn("path", { class: "hit" }), text = drawn("text", { class: "end", text: name });
    const group = drawn("g", { "data-domain": name }, [hit, text]);
    group.addEventListener("pointerenter", () => { if (!drag) on.domain(d); });
    group.addEventListener("pointerleave", () => { if (!drag) on.domain(-1); });
    group.addEventListener("click", () => on.choose(d));
    hit.addEventListener("pointerdown", (event) => {
      const [layer] = nearest(graph, layout, pointOf(event));
      press(event, d, layer);
    });
    return { group, hit, text };
  }

  function newMark(place) {
    const [layer, k] = place;
    const body = drawn("rect", { class: "body", rx: 4 });
    const number = drawn("text", { "text-anchor": "middle", y: 4 });
    const pin = drawn("circle", { class: "pin", r: 4 });
    const parts = [body, number, pin];
    const alone = graph.nodes[layer].length === 1
      ? drawn("text", { "text-anchor": "middle", class: "quiet alone", text: graph.nodes[layer][k].block })
      : null;
    if (alone) parts.push(alone); // it has no row of its own
    const group = drawn("g", { role: "button", tabindex: -1 }, parts);
    const mark = { place, group, body, number, pin, alone, class: "", users: null, pressed: null };
    group.addEventListener("mouseenter", () => on.hover(place));
    group.addEventListener("mouseleave", () => on.hover(null));
    group.addEventListener("focus", () => {
      for (const one of marks) one.group.setAttribute("tabindex", one === mark ? 0 : -1);
      on.hover(place);
    });
    group.addEventListener("blur", () => on.hover(null));
    group.addEventListener("keydown", (event) => moveWithArrows(event, layout.rowIn(place), layer, atRow));
    group.addEventListener("pointerdown", (event) => {
      if (state.domain >= 0 && state.paths[state.domain][layer] === k) press(event, state.domain, layer);
    });
    asButton(group, (event) => on.press(place, event));
    return mark;
  }

  const atRow = (row, layer) =>
    marks.find((mark) => mark.place[0] === layer && layout.rowIn(mark.place) === row)?.group;

  function pointOf(event) {
    const box = picture.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // Begin what may become a drag of a domain to another node of a layer.
  function press(event, d, layer) {
    if (event.button !== 0 || event.shiftKey || event.pointerType === "touch" || graph.nodes[layer].length === 1) return;
    event.preventDefault(); // no selection of texts
    drag = { d, layer, from: pointOf(event), target: null };
    const stop = new AbortController();
    const listen = (name, react) => window.addEventListener(name, react, { signal: stop.signal });
    listen("pointermove", (now) => follow(pointOf(now)));
    listen("pointerup", () => end(true));
    listen("pointercancel", () => end(false));
    listen("keydown", (key) => { if (key.key === "Escape") end(false); });
    function end(done) {
      stop.abort();
      const { target } = drag;
      if (target) window.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
      setTarget(null);
      ghost.setAttribute("hidden", "");
      drag = null;
      on.domain(-1);
      if (done && target && state.paths[d][layer] !== target[1]) on.move(d, target);
    }
  }

  function follow(point) {
    const { d, layer, from } = drag;
    if (!drag.target && Math.hypot(point[0] - from[0], point[1] - from[1]) < FAR) return;
    const target = nearest(graph, layout, point, layer);
    setTarget(target);
    const path = state.paths[d].with(layer, target[1]);
    const slot = state.seen.indexOf(d);
    ghost.setAttribute("d", line(layout, path, slot, state.seen.length, () => false).whole);
    ghost.setAttribute("style", `stroke:${graph.colors[graph.domains[d]]}`);
    ghost.removeAttribute("hidden");
    on.hover(target);
  }

  function setTarget(place) {
    if (drag.target) markAt.get(drag.target.join(" ")).group.classList.remove("target");
    if (place) markAt.get(place.join(" ")).group.classList.add("target");
    drag.target = place;
  }

  function resize(room) {
    layout = layOut(graph, room);
    const { left, width, height, half, column } = layout;
    lines.resize(layout);
    for (const [svg, wide] of [[names, left], [picture, width]]) {
      svg.setAttribute("width", wide);
      svg.setAttribute("height", height);
    }
    rows.forEach((text, i) => {
      text.setAttribute("x", left - 10);
      text.setAttribute("y", layout.y(i) + 4);
    });
    heads.forEach((text, layer) => {
      text.setAttribute("x", layout.x(layer));
      text.lastChild.textContent = shortened(graph.layers[layer], column);
    });
    for (const { place, group, body, pin, alone } of marks) {
      const [x, y] = layout.at(place);
      group.setAttribute("transform", `translate(${x} ${y})`);
      const box = { x: -half.wide, y: -half.high, width: 2 * half.wide, height: 2 * half.high };
      for (const [key, value] of Object.entries(box)) body.setAttribute(key, value);
      pin.setAttribute("cx", half.wide);
      pin.setAttribute("cy", -half.high);
      alone?.setAttribute("y", half.high + 14);
    }
    if (!state) return;
    updateLines();
    flags.replaceChildren(...flagsOf());
  }

  function update(next) {
    const isSame = state && String(state.seen) === String(next.seen)
      && state.chosen.at === next.chosen.at && state.edited === next.edited;
    state = next;
    for (const mark of marks) updateMark(mark);
    if (!isSame) updateLines();
    flags.replaceChildren(...flagsOf());
  }

  function updateLines() {
    const ways = lines.update(state, layout);
    for (const d of state.seen) updateEnd(ends[d], ways.get(d));
    shown.replaceChildren(...state.seen.map((d) => ends[d].group));
  }

  function updateMark(mark) {
    const { place, group, number } = mark;
    const [layer, k] = place;
    const pinned = isPinned(state, place);
    const look = ["node", kindOf(state, place), pinned ? "pinned" : "", differs(state, place) ? "differs" : ""].join(" ");
    if (look !== mark.class) group.setAttribute("class", mark.class = look);
    if (pinned !== mark.pressed) group.setAttribute("aria-pressed", mark.pressed = pinned);
    const { sure, unsure } = state.users[layer][k];
    const users = `${sure} ${unsure} ${state.seen.length}`;
    if (users === mark.users) return;
    mark.users = users;
    group.setAttribute("aria-label", `${nameOf(graph, place)}: ${usersInWords(state, place)}`);
    number.textContent = sure.length > 1 ? sure.length : "";
  }

  // Place the name of a domain at the end of its line, and what reacts to the pointer.
  function updateEnd({ hit, text }, { whole, end }) {
    hit.setAttribute("d", whole);
    text.setAttribute("x", end[0] + 6);
    text.setAttribute("y", end[1] + 4);
  }

  // Return a diamond at every node to which a domain was moved.
  function flagsOf() {
    const many = new Map();
    return [...(state.isLast ? state.moved : [])].map((key) => {
      const [d, layer] = key.split(" ").map(Number);
      const place = [layer, state.paths[d][layer]];
      const already = many.get(place.join(" ")) ?? 0;
      many.set(place.join(" "), already + 1);
      const [x, y] = layout.at(place);
      const at = `translate(${x - layout.half.wide + 9 * already} ${y - layout.half.high}) rotate(45)`;
      return drawn("rect", {
        x: -4, y: -4, width: 8, height: 8, transform: at, style: `fill:${graph.colors[graph.domains[d]]}`,
      });
    });
  }

  // Highlight the lines of these domains; null: all alike. bold: the chosen domain, or -1.
  function emphasise(domains, bold) {
    lines.emphasise(domains, bold);
    ends.forEach(({ text }, d) => text.classList.toggle("bold", d === bold || Boolean(domains?.includes(d))));
  }

  return { root, resize, update, emphasise };
}
