// The numbers of a time chart, without drawing: smoothing, ranges, the nearest step and line.
//
// A line is an array with one value per step. null stands for a step without a value.

// Return the float32 numbers of a buffer that Python sent. nan is null.
export function numbersOf(view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  return Array.from(new Float32Array(bytes), (value) => (Number.isFinite(value) ? value : null));
}

// Return the exponential moving average of a line, corrected for its bias to the first value.
// weight: share of the old average, 0 (no smoothing) to below 1.
export function smoothed(line, weight) {
  if (!weight) return line;
  let sum = 0, count = 0;
  return line.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    count = weight * count + (1 - weight);
    return sum / count;
  });
}

// Return the line with null for values that a log axis cannot show.
export const positive = (line) => line.map((value) => (value > 0 ? value : null));

// Return how many values of some lines are at or below 0, and how many are above.
export function signs(lines) {
  let below = 0, above = 0;
  for (const line of lines)
    for (const value of line)
      if (value !== null) value > 0 ? (above += 1) : (below += 1);
  return { below, above };
}

// Return the part of some lines between two steps, with the neighbours outside, so that lines reach
// the edges. [steps, line, line, ...], with `count` steps at most: if there are more, intervals of
// steps have two points each, the least and the greatest value in the order in which they come.
export function thinned(steps, lines, [from, to], count) {
  const first = Math.max(0, lowest(steps, from) - 1), last = Math.min(steps.length, lowest(steps, to) + 2);
  const part = (values) => values.slice(first, last);
  if (last - first <= count) return [part(steps), ...lines.map(part)];
  const intervals = count >> 1, width = (last - first) / intervals;
  const ends = Array.from({ length: intervals + 1 }, (_, i) => first + Math.round(i * width));
  const places = [];
  for (let i = 0; i < intervals; i++) places.push(steps[ends[i]], steps[(ends[i] + ends[i + 1]) >> 1]);
  return [places, ...lines.map((line) => extremes(line, ends))];
}

function extremes(line, ends) {
  const found = new Array(2 * (ends.length - 1)).fill(null);
  for (let i = 0; i + 1 < ends.length; i++) {
    let least = -1, most = -1;
    for (let k = ends[i]; k < ends[i + 1]; k++) {
      if (line[k] === null) continue;
      if (least < 0 || line[k] < line[least]) least = k;
      if (most < 0 || line[k] > line[most]) most = k;
    }
    if (least < 0) continue;
    found[2 * i] = line[Math.min(least, most)];
    found[2 * i + 1] = line[Math.max(least, most)];
  }
  return found;
}

// Return the index of the first value that is at least x; the length if there is none.
function lowest(values, x) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    values[middle] < x ? (low = middle + 1) : (high = middle);
  }
  return low;
}

// Return the range of a vertical axis that shows the values and the reference lines, with room.
// low, high: least and largest value; null if there is none.
export function bounds(low, high, references, log) {
  const shown = [low, high, ...references].filter((v) => v !== null && v !== undefined && (!log || v > 0));
  if (!shown.length) return log ? [1, 10] : [0, 1];
  const [from, to] = [Math.min(...shown), Math.max(...shown)];
  if (log) return [rounded(from / 1.1, Math.floor), rounded(to * 1.1, Math.ceil)];
  const room = 0.06 * (to - from) || 0.1 * Math.abs(to) || 0.5;
  return [from - room, to + room];
}

// Return a positive number with one digit, such as 0.03 or 500, so that ticks of a log axis are round.
function rounded(value, round) {
  const power = 10 ** Math.floor(Math.log10(value));
  return round(value / power) * power;
}

// Return the index of the value that is nearest to x. values: ascending, not empty.
export function nearest(values, x) {
  const after = Math.min(lowest(values, x), values.length - 1), before = Math.max(0, after - 1);
  return x - values[before] <= values[after] - x ? before : after;
}

// Return the value of a line at an index, or the last one before it; null: there is none.
export function valueAt(line, index) {
  for (let i = index; i >= 0; i--) if (line[i] !== null) return line[i];
  return null;
}

// Return the part [from, to] of `whole` that lies around x after a zoom. null: the whole.
// shown: part before. factor: below 1 shows less. least: width of the smallest part.
export function zoomed(shown, whole, x, factor, least) {
  const width = Math.max((shown[1] - shown[0]) * factor, least);
  if (width >= whole[1] - whole[0]) return null;
  const share = (x - shown[0]) / (shown[1] - shown[0] || 1);
  return shifted([x - share * width, x + (1 - share) * width], whole, 0);
}

// Return a part that is moved by `by`, but stays inside the whole.
export function shifted([from, to], whole, by) {
  const inside = Math.min(Math.max(by, whole[0] - from), whole[1] - to);
  const start = to - from >= whole[1] - whole[0] ? whole[0] : from + inside;
  return [start, Math.min(whole[1], start + to - from)];
}

// Return the first and the last step of all panels; null: there is no step.
export function extent(panels) {
  const ends = panels.flatMap(({ steps }) => (steps.length ? [steps[0], steps[steps.length - 1]] : []));
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}
