// What-if: the list that moves the chosen domain, the sizes of the paths, undo and reset.

import { asButton, element } from "../dom.js";
import { sizeElements } from "./card.js";
import { editInWords, sizesOf } from "./state.js";

// Return { list, root, update }. list: the control that belongs to the card.
//
// on: move(domain, place), undo(), reset(name; empty: all domains).
export function newEdits(graph, on) {
  const select = element("select", { "aria-label": "node of the chosen domain" });
  const about = element("span", {});
  const list = element("label", { class: "take", hidden: true }, [about, select]);
  let place = null, domain = -1;
  select.addEventListener("change", () => on.move(domain, [place[0], Number(select.value)]));

  const head = element("h4", { text: "Sizes" });
  const status = element("span", { class: "edited", role: "status" });
  const button = (text, act) => {
    const one = element("button", { type: "button", text });
    asButton(one, act);
    return one;
  };
  const undo = button("Undo", () => on.undo());
  const one = button("Reset domain", () => on.reset(graph.domains[domain]));
  const all = button("Reset all", () => on.reset(""));
  const rows = element("tbody", {});
  const refused = element("p", { class: "problem", role: "alert", hidden: true });
  const table = element("table", { class: "sizes" }, [
    element("thead", {}, [element("tr", {}, ["size", "now", "of target", "change"].map((text) =>
      element("th", { scope: "col", text })))]),
    rows,
  ]);
  const root = element("section", { "aria-label": "sizes of the paths" }, [
    element("div", { class: "controls" }, [head, status, undo, one, all]), refused,
    element("div", { class: "scroll" }, [table]),
    element("p", { class: "quiet", text: "At the last step. Without batch norms and classifiers." }),
  ]);

  function update(state, at) {
    [place, domain] = [at, state.domain];
    const nodes = at ? graph.nodes[at[0]] : [];
    list.hidden = domain < 0 || nodes.length < 2;
    if (!list.hidden) {
      const layer = graph.layers[at[0]];
      about.textContent = `move ${graph.domains[domain]} in ${layer} to`;
      select.replaceChildren(...nodes.map((node, k) => element("option", {
        value: k, text: node.block === "zero" ? "skip" : node.block,
      })));
      select.value = (state.edited ?? state.found)[domain][at[0]];
    }
    status.textContent = editInWords(state);
    undo.disabled = !state.chosen.edited.undo;
    all.disabled = !state.edited;
    one.hidden = domain < 0;
    one.textContent = domain < 0 ? "" : `Reset ${graph.domains[domain]}`;
    one.disabled = ![...state.moved].some((key) => key.startsWith(`${domain} `));
    rows.replaceChildren(...sizeElements(sizesOf(state)));
  }

  // Show why a move is refused; empty: nothing is.
  function refuse(text) {
    refused.textContent = text;
    refused.hidden = !text;
  }
  return { list, root, update, refuse };
}
