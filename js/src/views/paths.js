// The domains' paths through the search space: domains can be shown, chosen, compared and moved,
// nodes pinned, and a slider moves through the search. All numbers come from Python.

import { element, keepKeys } from "../dom.js";
import { cardElements } from "../paths/card.js";
import { newChips, newCompare, newSlider } from "../paths/controls.js";
import { newEdits } from "../paths/edits.js";
import { newLegend } from "../paths/legend.js";
import { newPicture } from "../paths/picture.js";
import { cardOf, derive, highlighted } from "../paths/state.js";

const TRAITS = ["shown", "compare", "at", "pinned", "domain", "edited", "probabilities"];
const WIDE = 1000, SIDE = 350; // pixels: from which width the card is beside the graph, and its own
const HINT = "Point at a node, or move to it with the arrow keys. A click or Enter pins it. "
  + "Choose a domain, then press Shift+Enter on a node, or drag its line, to move it there.";

function render({ model, el }) {
  const graph = model.get("graph");
  let state = null;
  let hovered = null, pointed = -1, last = null; // node and line under the pointer; node of the card

  function change(values) {
    model.set(values);
    model.save_changes();
  }
  function choose(d) {
    edits.refuse("");
    change({ domain: d === state.domain ? "" : graph.domains[d] });
  }
  function move(d, [layer, k]) {
    model.send({ do: "move", domain: graph.domains[d], layer, block: graph.nodes[layer][k].block });
  }
  function press([layer, k], event) {
    edits.refuse("");
    if (event.shiftKey) {
      if (state.domain < 0) edits.refuse("Choose a domain first: its name above the graph is a button.");
      else move(state.domain, [layer, k]);
      return;
    }
    const name = graph.nodes[layer][k].block;
    const pinned = model.get("pinned");
    const others = pinned.filter(([l, block]) => l !== layer || block !== name);
    change({ pinned: others.length < pinned.length ? others : [...pinned, [layer, name]] });
  }
  function hover(place) {
    hovered = place;
    last = place ?? last;
    drawCard();
  }
  function point(d) {
    pointed = d;
    emphasise();
  }

  const on = { hover, press, domain: point, choose, move };
  const picture = newPicture(graph, on);
  const chips = newChips(graph, { ...on, show: (shown) => change({ shown }) });
  const compare = newCompare(graph, (two) => change({ compare: two }));
  const slider = newSlider(graph, (at) => change({ at }));
  const edits = newEdits(graph, {
    move, undo: () => model.send({ do: "undo" }), reset: (domain) => model.send({ do: "reset", domain }),
  });
  const card = element("div", { role: "status", "aria-live": "polite" });
  const side = element("div", { class: "side" }, [
    element("div", { class: "card", tabindex: 0, role: "group", "aria-label": "the node" }, [card, edits.list]),
    edits.root,
  ]);
  const graphic = element("div", { class: "graph" }, [picture.root, newLegend()]);
  const root = element("div", { class: "mpnas paths" }, [
    chips.root, element("div", { class: "controls" }, [compare.root, slider.root]),
    element("div", { class: "board" }, [side, graphic]),
  ]);
  keepKeys(root);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.pins.length) change({ pinned: [] });
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      model.send({ do: "undo" });
    }
  });
  el.append(root);

  function emphasise() {
    picture.emphasise(highlighted(state, pointed), state.domain);
  }
  function drawCard() {
    const place = hovered ?? state.pins.at(-1) ?? last;
    const parts = place ? cardElements(cardOf(state, place), graph) : [element("p", { class: "quiet", text: HINT })];
    card.replaceChildren(...parts);
    edits.update(state, place);
  }
  function draw() {
    state = derive(graph, Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])));
    chips.update(state);
    compare.update(state);
    slider.update(state);
    picture.update(state);
    emphasise();
    drawCard();
  }
  let width = 0;
  function resize() {
    const now = root.clientWidth || 900;
    if (now === width) return;
    width = now;
    root.classList.toggle("wide", width >= WIDE);
    picture.resize(width >= WIDE ? width - SIDE : width);
    if (state) emphasise();
  }

  let waiting = null;
  const later = () => {
    waiting ??= requestAnimationFrame(() => {
      waiting = null;
      draw();
    });
  };
  resize();
  draw();
  model.on(TRAITS.map((name) => `change:${name}`).join(" "), later);
  model.on("change:refused", () => edits.refuse(model.get("refused")));
  const sight = new ResizeObserver(resize);
  sight.observe(root);
  return () => sight.disconnect();
}

export default { render };
