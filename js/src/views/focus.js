// What is chosen in all explorers of an app: a domain, a pair of domains, a node, and two steps.

import { asButton, element, keepKeys } from "../dom.js";

// Return what is chosen, in words.
export function words({ pair, node, search_step: searched, train_step: trained }) {
  const parts = [];
  if (pair.length) parts.push(`${pair[0]} and ${pair[1]}`);
  if (node.length) parts.push(`node ${node[2]} ${node[1]}`);
  if (searched !== null) parts.push(`step ${searched} of the search`);
  if (trained !== null) parts.push(`step ${trained} of the training`);
  return parts.join(" · ");
}

function render({ model, el }) {
  const chips = model.get("domains").map((domain) => {
    const chip = element("button", { type: "button", class: "chip" }, [
      element("i", { style: `background:${model.get("colors")[domain]}`, "aria-hidden": "true" }),
      domain,
    ]);
    asButton(chip, () => {
      model.set("domain", model.get("domain") === domain ? "" : domain);
      model.save_changes();
    });
    return chip;
  });
  const clear = element("button", { type: "button", text: "Clear" });
  asButton(clear, () => {
    model.set({ domain: "", pair: [], node: [], search_step: null, train_step: null });
    model.save_changes();
  });
  const said = element("span", { role: "status" });
  const root = element("div", { class: "mpnas focus" }, [
    element("div", { class: "controls", role: "group", "aria-label": "what all views show" }, [
      ...chips, said, clear,
    ]),
  ]);
  keepKeys(root);
  el.append(root);
  function draw() {
    const state = Object.fromEntries(
      ["domain", "pair", "node", "search_step", "train_step"].map((name) => [name, model.get(name)]));
    model.get("domains").forEach((domain, i) => chips[i].setAttribute("aria-pressed", domain === state.domain));
    said.textContent = words(state);
    clear.disabled = !state.domain && !said.textContent;
  }
  model.on("change", draw);
  draw();
}

export default { render };
