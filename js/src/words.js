// Numbers as text.

// 1234567 -> "1.23 M"; small numbers keep three digits.
export function amount(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(value) >= unit) return `${Number((value / unit).toPrecision(3))} ${letter}`;
  return String(Number(value.toPrecision(3)));
}

export const percent = (value) => `${(100 * value).toFixed(1)} %`;

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

// 1234567 -> "1,234,567", such as the number of a step.
export const count = (value) => COUNT.format(value);
