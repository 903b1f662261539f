// The controls above the picture: domains to show and to choose, two to compare, and the slider.

import { asButton, element } from "../dom.js";

// Make a group of controls one stop of the tab key. Arrow keys move in it.
function asToolbar(group, controls) {
  controls.forEach((control, i) => {
    control.tabIndex = i ? -1 : 0;
    control.addEventListener("focus", () => controls.forEach((one) => { one.tabIndex = one === control ? 0 : -1; }));
    control.addEventListener("keydown", (event) => {
      const by = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1, Home: 0, End: -1 };
      const next = by[event.key];
      if (next === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      controls.at(next % controls.length).focus();
    });
  });
  group.setAttribute("role", "toolbar");
}

// Return { root, update } of the chips: one per domain, to show it and to choose it.
//
// on: show(names), choose(index), domain(index or -1) under the pointer.
export function newChips(graph, on) {
  const boxes = [], buttons = [];
  const chips = graph.domains.map((name, d) => {
    const box = element("input", { type: "checkbox", "aria-label": `show ${name}` });
    box.addEventListener("change", () => on.show(graph.domains.filter((_, i) => boxes[i].checked)));
    const button = element("button", { type: "button", title: `Choose ${name}: highlight its path, and move it` }, [
      element("i", { class: "dot", style: `background:${graph.colors[name]}`, "aria-hidden": "true" }), name,
    ]);
    asButton(button, () => on.choose(d));
    boxes.push(box);
    buttons.push(button);
    const chip = element("span", { class: "chip" }, [box, button]);
    chip.addEventListener("mouseenter", () => on.domain(d));
    chip.addEventListener("mouseleave", () => on.domain(-1));
    return chip;
  });
  const all = element("button", { type: "button", text: "Show all" });
  const none = element("button", { type: "button", text: "Hide all" });
  asButton(all, () => on.show(graph.domains));
  asButton(none, () => on.show([]));
  const root = element("div", { class: "controls", "aria-label": "domains to show and to choose" }, [...chips, all, none]);
  asToolbar(root, [...boxes.flatMap((box, d) => [box, buttons[d]]), all, none]);
  function update({ chosen, domain }) {
    const shown = new Set(chosen.shown);
    graph.domains.forEach((name, d) => {
      boxes[d].checked = shown.has(name);
      buttons[d].setAttribute("aria-pressed", d === domain);
    });
  }
  return { root, update };
}

// Return { root, update } of the two lists that choose which domains are compared.
export function newCompare(graph, compare) {
  const lists = ["first", "second"].map((which) => {
    const list = element("select", { "aria-label": `compare: ${which} domain` }, [
      element("option", { value: "", text: "–" }),
      ...graph.domains.map((d) => element("option", { value: d, text: d })),
    ]);
    list.addEventListener("change", () => {
      const two = lists.map((one) => one.value);
      compare(two[0] && two[1] && two[0] !== two[1] ? two : []);
    });
    return list;
  });
  const root = element("span", { class: "compare", role: "group", "aria-label": "compare two domains" }, [
    element("span", { text: "compare" }), ...lists,
  ]);
  function update({ chosen: { compare: two } }) {
    const incomplete = lists.some((one) => !one.value) || lists[0].value === lists[1].value;
    if (two.length || !incomplete) lists.forEach((one, i) => { one.value = two[i] ?? ""; });
  }
  return { root, update };
}

// Return { root, update } of the slider through the snapshots of the search.
export function newSlider(graph, slide) {
  const { steps } = graph;
  const slider = element("input", {
    type: "range", min: 0, max: steps.length - 1, step: 1, "aria-label": "step of the search",
  });
  const when = element("output", {});
  slider.addEventListener("input", () => slide(Number(slider.value)));
  const root = element("label", { hidden: steps.length < 2 }, ["search step", slider, when]);
  function update({ chosen: { at } }) {
    slider.value = at;
    when.textContent = steps[at];
    slider.setAttribute("aria-valuetext", `step ${steps[at]}`);
  }
  return { root, update };
}
