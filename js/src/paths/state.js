// What follows from the graph and from what is chosen: users and kinds of nodes, which paths are
// highlighted, and the card of a node. Nothing here touches the page, so that it can be tested.
//
// Domains and candidates are indices. A place is [layer, candidate].

import { amount } from "../words.js";

const PARTS = 200; // a probability arrives as a whole number of 1/200
const LISTED = 12; // domains that a card lists

const same = (a, b) => a[0] === b[0] && a[1] === b[1];

// Return the places of nodes that are given as [layer, name of the block].
export function places(graph, named) {
  return named.map(([layer, block]) => [layer, graph.nodes[layer].findIndex((n) => n.block === block)]);
}

// Return the state that everything is drawn from.
//
// chosen: shown, compare, at, pinned, domain, edited and probabilities, as Python sends them.
export function derive(graph, chosen) {
  const { domains, nodes, steps } = graph;
  const isLast = chosen.at === steps.length - 1;
  const edited = chosen.edited.paths ?? null;
  const found = graph.paths[steps.length - 1];
  const paths = isLast && edited ? edited : graph.paths[chosen.at];
  const moved = new Set();
  (edited ?? []).forEach((path, d) => path.forEach((k, layer) => {
    if (k !== found[d][layer]) moved.add(`${d} ${layer}`);
  }));
  const named = chosen.compare.length ? chosen.compare : chosen.shown;
  const seen = named.map((name) => domains.indexOf(name)).filter((d) => d >= 0);
  const open = (graph.undecided[chosen.at] ?? []).map((layers) => new Set(layers));
  const isMoved = (d, layer) => isLast && moved.has(`${d} ${layer}`);
  const isUnsure = (d, layer) => Boolean(open[d]?.has(layer)) && !isMoved(d, layer);
  const users = nodes.map((column) => column.map(() => ({ sure: [], unsure: [] })));
  for (const d of seen)
    paths[d].forEach((k, layer) => users[layer][k][isUnsure(d, layer) ? "unsure" : "sure"].push(d));
  const pins = places(graph, chosen.pinned);
  const state = {
    graph, chosen, isLast, edited, found, paths, moved, seen, isMoved, isUnsure, users, pins,
    domain: domains.indexOf(chosen.domain),
  };
  return { ...state, through: pins.length ? throughAll(state) : null };
}

// Return the seen domains whose paths pass a pinned node in every layer that has one.
function throughAll({ seen, paths, pins }) {
  const layers = new Map();
  for (const [layer, k] of pins) layers.set(layer, [...(layers.get(layer) ?? []), k]);
  return seen.filter((d) => [...layers].every(([layer, ks]) => ks.includes(paths[d][layer])));
}

export const nameOf = ({ layers, nodes }, [layer, k]) => `${layers[layer]} ${nodes[layer][k].block}`;

// Return the kind of a node: shared, private, undecided (only undecided paths use it) or unused.
export function kindOf(state, [layer, k]) {
  const { sure, unsure } = state.users[layer][k];
  if (sure.length === 0) return unsure.length ? "undecided" : "unused";
  return sure.length > 1 && !state.graph.nodes[layer][k].copied ? "shared" : "private";
}

// Return whether the two domains that are compared differ in a node.
export function differs(state, [layer, k]) {
  const { sure, unsure } = state.users[layer][k];
  const count = sure.length + unsure.length;
  return state.chosen.compare.length > 0 && count > 0 && (count === 1 || state.graph.nodes[layer][k].copied);
}

export const isPinned = (state, place) => state.pins.some((pin) => same(pin, place));

// Return the domains that are highlighted; null: all alike. hovered: a domain, or -1.
export function highlighted(state, hovered) {
  if (hovered >= 0) return state.seen.includes(hovered) ? [hovered] : null;
  if (state.through) return state.through;
  return state.seen.includes(state.domain) ? [state.domain] : null;
}

// Return the probability of a candidate, 0 to 1, or null if it is not known.
export function probability(state, d, [layer, k]) {
  const { probabilities, at } = state.chosen;
  if (!probabilities?.byteLength) return null;
  const { nodes, domains } = state.graph;
  let before = 0, all = 0;
  nodes.forEach((column, i) => {
    if (i < layer) before += column.length;
    all += column.length;
  });
  return probabilities.getUint8((at * domains.length + d) * all + before + k) / PARTS;
}

const listed = (names) => names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

// Return who uses a node, in sentences.
export function usersInWords(state, place) {
  const { domains, nodes } = state.graph;
  const [layer, k] = place;
  const { block, copied } = nodes[layer][k];
  const [sure, unsure] = ["sure", "unsure"].map((key) => state.users[layer][k][key].map((d) => domains[d]));
  const sentences = [];
  if (sure.length && block === "zero") sentences.push(`Skipped by ${listed(sure)}.`);
  else if (sure.length > 1) sentences.push(`${copied ? "A private copy for each of" : "Shared by"} ${listed(sure)}.`);
  else if (sure.length) sentences.push(`Private to ${sure[0]}.`);
  if (unsure.length)
    sentences.push(`Likeliest for ${listed(unsure)}, which ${unsure.length > 1 ? "are" : "is"} undecided here.`);
  if (!sentences.length) sentences.push(state.seen.length < domains.length ? "No shown domain uses it." : "No domain uses it.");
  return sentences.join(" ");
}

// Return what the pins do, in a sentence; empty: no node is pinned.
function pinsInWords({ graph, pins, through }) {
  if (!pins.length) return "";
  const names = pins.map((pin) => nameOf(graph, pin));
  const layers = new Set(pins.map(([layer]) => layer)).size;
  const rule = pins.length === 1 ? "this node"
    : layers === pins.length ? "all of these nodes"
    : layers === 1 ? "any of these nodes" : "these nodes, any of them in a layer";
  const found = through.map((d) => graph.domains[d]);
  return `Pinned: ${listed(names)}. Highlighted: paths through ${rule} (${found.length ? listed(found) : "none"}).`;
}

// Return the card of a node: what it is, what it costs, who uses it, and how likely it is.
//
// rows: domains by falling probability, each with name, whether it takes the node, whether it is
// undecided in this layer, and its probability; more: number of domains that are not listed.
export function cardOf(state, place) {
  const { graph, chosen } = state;
  const [layer, k] = place;
  const node = graph.nodes[layer][k], alone = graph.nodes[layer].length === 1;
  const isSkip = node.block === "zero";
  const facts = isSkip ? [] : [
    ["parameters", amount(node.parameters)], ["multiply-adds", amount(node.multiply_adds)],
    ...(node.cost === null ? [] : [["cost", `${amount(node.cost)} ${graph.unit}`]]),
  ];
  const rows = alone ? [] : state.seen.map((d) => ({
    domain: d,
    takes: state.paths[d][layer] === k,
    undecided: state.isUnsure(d, layer),
    moved: state.isMoved(d, layer) && state.paths[d][layer] === k,
    probability: probability(state, d, place),
  })).filter((row) => row.takes || row.probability !== null);
  rows.sort((a, b) => b.takes - a.takes || b.probability - a.probability);
  return {
    title: nameOf(graph, place),
    what: isSkip ? "The layer is skipped." : `${node.about}.${alone ? " The only candidate." : ""}`,
    facts,
    users: usersInWords(state, place),
    when: graph.steps.length > 1 ? `Probability at step ${graph.steps[chosen.at]}` : "Probability",
    rows: rows.slice(0, LISTED),
    more: Math.max(0, rows.length - LISTED),
    pins: pinsInWords(state),
  };
}

const signed = (value, text) => `${value < 0 ? "−" : "+"}${text(Math.abs(value))}`;

// Return the sizes of the paths of the last step: rows of name, value now, and change in words.
export function sizesOf(state) {
  const { graph, edited, moved, domain } = state;
  const { now, found } = state.chosen.edited;
  const row = (name, read, text, target = null) => {
    const value = read(now), change = value - read(found);
    const share = read(found) ? ` (${signed(100 * change / read(found), (v) => v.toFixed(1))} %)` : "";
    return {
      name,
      now: text(value),
      target: target === null ? "" : `${(100 * value / target).toFixed(0)} %`,
      above: target !== null && value > target,
      change: !edited ? "" : change === 0 ? "no change" : signed(change, text) + share,
    };
  };
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const two = (value) => value.toFixed(3);
  const rows = [
    row("parameters, union", (s) => s.parameters, amount),
    row("multiply-adds, union", (s) => s.multiply_adds, amount),
  ];
  if (now.similarity !== null) rows.push(row("similarity, mean", (s) => s.similarity, two));
  const targets = graph.targets;
  const inUnit = graph.unit === "multiply-adds" ? "multiply-adds" : `cost (${graph.unit})`;
  rows.push(row(`${inUnit}, mean path`, (s) => mean(s.costs), amount, targets && mean(targets)));
  const own = new Set([...moved].map((key) => Number(key.split(" ")[0])));
  if (domain >= 0) own.add(domain);
  for (const d of [...own].sort((a, b) => a - b)) {
    const name = graph.domains[d];
    if (graph.unit !== "multiply-adds") rows.push(row(`multiply-adds, ${name}`, (s) => s.domains[d], amount));
    rows.push(row(`${inUnit}, ${name}`, (s) => s.costs[d], amount, targets && targets[d]));
  }
  return rows;
}

// Return how many moves there are, in words, and whether the view shows them.
export function editInWords({ moved, edited, isLast }) {
  if (!edited) return "";
  const count = `edited: ${moved.size} move${moved.size === 1 ? "" : "s"}`;
  return isLast ? count : `${count}, shown at the last step`;
}
