// The card of a node, and the table of sizes.

import { element } from "../dom.js";

const dot = (color) => element("i", { class: "dot", style: `background:${color}`, "aria-hidden": "true" });

// Return the elements of a card. card: see `cardOf`.
export function cardElements(card, graph) {
  const parts = [element("b", { text: card.title }), element("p", { text: card.what })];
  if (card.facts.length)
    parts.push(element("p", { text: `${card.facts.map(([name, text]) => `${text} ${name}`).join(", ")}.` }));
  parts.push(element("p", { class: "users", text: card.users }));
  if (card.rows.length) {
    const known = card.rows.some((row) => row.probability !== null);
    const rows = card.rows.map((row) => rowElement(row, graph));
    if (card.more) rows.push(element("li", { text: `and ${card.more} more domains` }));
    if (known) parts.push(element("p", { class: "quiet", text: `${card.when}, per domain:` }));
    parts.push(element("ul", { class: "chances" }, rows));
  }
  if (card.pins) parts.push(element("p", { class: "pins", text: card.pins }));
  return parts;
}

function rowElement({ domain, takes, undecided, moved, probability }, graph) {
  const name = graph.domains[domain];
  let note = "";
  if (moved) note = "moved here";
  else if (takes) note = undecided ? "likeliest, undecided" : "takes it";
  const chance = probability === null ? [] : [
    element("span", { class: "chance", text: probability > 0 ? `${+(100 * probability).toFixed(1)} %` : "< 0.3 %" }),
  ];
  return element("li", { class: takes ? "takes" : null }, [
    dot(graph.colors[name]), element("span", { text: name }),
    element("span", { class: "quiet", text: note }), ...chance,
  ]);
}

// Return the rows of the table of sizes. rows: see `sizesOf`.
export function sizeElements(rows) {
  return rows.map(({ name, now, target, above, change }) => element("tr", {}, [
    element("th", { scope: "row", text: name }),
    element("td", { text: now }),
    element("td", { class: above ? "above" : null, text: target }),
    element("td", { text: change }),
  ]));
}
