// Axes of a plot: from values to pixels and back, and the ticks.

// Return at most about `count` round values from low to high.
export function ticks(low, high, count = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * (1 - 1e-9));
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// Return 1, 2 and 5 times the powers of ten from low to high. A range that has fewer than two of
// them gets the ticks of a linear axis.
export function logTicks(low, high) {
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10)
    found.push(...[1, 2, 5].map((m) => m * power).filter((t) => t >= low && t <= high));
  return found.length < 2 ? ticks(low, high) : found;
}

// An axis from `low` to `high`, drawn from pixel `from` to pixel `to`.
export class Axis {
  constructor(low, high, from, to, log = false) {
    Object.assign(this, { low, high, from, to, log });
    this.into = log ? Math.log : (v) => v;
    this.out = log ? Math.exp : (v) => v;
    this.start = this.into(low);
    this.span = this.into(high) - this.start || 1;
  }

  pixel(value) {
    return this.from + ((this.into(value) - this.start) / this.span) * (this.to - this.from);
  }

  value(pixel) {
    return this.out(this.start + ((pixel - this.from) / (this.to - this.from)) * this.span);
  }

  ticks(count) {
    return this.log ? logTicks(this.low, this.high) : ticks(this.low, this.high, count);
  }

  // The range [low, high] that is `factor` times as wide and keeps the value at a pixel in place.
  zoomed(factor, pixel) {
    const share = (pixel - this.from) / (this.to - this.from);
    const middle = this.start + share * this.span, span = factor * this.span;
    return [this.out(middle - share * span), this.out(middle + (1 - share) * span)];
  }
}
