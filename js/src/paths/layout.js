// Where layers, rows, nodes and lines are. Pixels, from the upper left corner of the picture.

const LEAST = 46, MOST = 170; // width of a column
const TOP = 34, BOTTOM = 12, ENDS = 14;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Return a text that fits into a width, about; a longer one ends with "…".
export function shortened(text, width) {
  const most = Math.max(2, Math.floor(width / 7));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

// Return the layout for a room of this width.
export function layOut(graph, room) {
  const { layers, rows, domains, nodes } = graph;
  const left = clamp(16 + 7.5 * Math.max(4, ...rows.map((name) => name.length)), 52, 140);
  const right = clamp(30 + 7.2 * Math.max(...domains.map((name) => name.length)), 60, 180);
  const column = clamp((room - left - right) / layers.length, LEAST, MOST);
  const isTall = rows.length > 14;
  const row = isTall ? 25 : clamp(0.28 * column, 34, 46);
  const half = { wide: clamp(0.27 * column, 14, 40), high: isTall ? 9 : 10 };
  const whole = Math.max(rows.length * row, domains.length * ENDS);
  const middle = Math.max(0, Math.floor((rows.length - 2) / 2));
  const rowOf = new Map(rows.map((name, i) => [name, i]));
  const rowIn = ([layer, k]) => nodes[layer].length === 1 ? middle : rowOf.get(nodes[layer][k].block);
  const x = (layer) => (layer + 0.5) * column;
  const y = (number) => TOP + (number + 0.5) * row;
  return {
    left, column, half, rowIn, x, y, right,
    width: layers.length * column + right,
    height: TOP + whole + BOTTOM,
    at: (place) => [x(place[0]), y(rowIn(place))],
    end: (slot, slots) => [layers.length * column + 8, TOP + (slot + 0.5) * whole / slots],
  };
}

// Return the way from one node to the next: level inside the nodes, a curve between them.
function way([x0, y0], [x1, y1], half, isEnd) {
  const from = x0 + half, to = x1 - (isEnd ? 0 : half), middle = (from + to) / 2;
  return `H${from}C${middle} ${y0} ${middle} ${y1} ${to} ${y1}H${x1}`;
}

// Return the line of a domain as texts for `d`: where it is decided, where it is not, and whole.
//
// path: candidates by layer. slot: its place among `slots` lines. unsure(layer): whether its choice
// is undecided there. The parts before and after an undecided choice are undecided.
export function line(layout, path, slot, slots, unsure) {
  const shift = (slot - (slots - 1) / 2) * Math.min(3, 18 / slots);
  const stops = path.map((k, layer) => {
    const [x, y] = layout.at([layer, k]);
    return [x, y + shift];
  });
  const end = layout.end(slot, slots);
  stops.push(end);
  let solid = "", dashed = "", whole = `M${stops[0][0]} ${stops[0][1]}`;
  for (let i = 1; i < stops.length; i++) {
    const bend = way(stops[i - 1], stops[i], layout.half.wide, i === path.length);
    const part = `M${stops[i - 1][0]} ${stops[i - 1][1]}${bend}`;
    if (unsure(i - 1) || (i < path.length && unsure(i))) dashed += part;
    else solid += part;
    whole += bend;
  }
  return { solid, dashed, whole, end };
}

// Return the place of the candidate that is nearest to a point; in one layer if that is given.
export function nearest(graph, layout, [px, py], layer = null) {
  const count = graph.nodes.length;
  const in_ = layer ?? clamp(Math.round(px / layout.column - 0.5), 0, count - 1);
  let best = 0, least = Infinity;
  graph.nodes[in_].forEach((_, k) => {
    const away = Math.abs(layout.at([in_, k])[1] - py);
    if (away < least) [best, least] = [k, away];
  });
  return [in_, best];
}
