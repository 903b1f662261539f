// Where labels of points go, so that none covers another label or a point.

const HEIGHT = 15; // pixels
const NEAR = 10, FURTHER = [0, 16, 34, 56, 84]; // pixels between a point and its label
const CROSSED = 40; // pixels that a label rather moves away than cover a thin mark

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

// The places around a point, best first, at a distance.
function around(x, y, far) {
  const gap = NEAR + far;
  return [
    [x + gap, y + 4, "start"], [x - gap, y + 4, "end"],
    [x, y - gap - 2, "middle"], [x, y + gap + 12, "middle"],
    [x + gap, y - gap, "start"], [x + gap, y + gap + 9, "start"],
    [x - gap, y - gap, "end"], [x - gap, y + gap + 9, "end"],
    [x + gap, y - 2 * gap, "start"], [x + gap, y + 2 * gap, "start"],
  ];
}

// Return one place { x, y, anchor, far } per point, or null if there is no room: then a view shows
// the label only while the point is selected. Above 0, `far` needs a line from point to label.
//
// points: { x, y, width } in pixels, the width of the label; the first points choose first.
// bounds: [left, top, right, bottom]. thin: boxes of marks that labels avoid, but may cover.
export function placeLabels(points, bounds, thin = []) {
  const taken = points.map(({ x, y }) => [x - 7, y - 7, x + 7, y + 7]);
  return points.map(({ x, y, width }) => {
    let best = null, least = Infinity;
    for (const far of FURTHER)
      for (const [px, py, anchor] of around(x, y, far)) {
        const left = anchor === "start" ? px : anchor === "end" ? px - width : px - width / 2;
        const box = [left, py - HEIGHT + 3, left + width, py + 3];
        const inside = box.every((edge, i) => (i < 2 ? edge >= bounds[i] : edge <= bounds[i]));
        if (!inside || taken.some((other) => overlap(box, other))) continue;
        const price = far + CROSSED * thin.filter((other) => overlap(box, other)).length;
        if (price < least) [best, least] = [{ x: px, y: py, anchor, far, box }, price];
      }
    if (best) taken.push(best.box);
    return best;
  });
}
