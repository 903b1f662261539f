// Colours of values.

// Return the colour of a value from 0 to 1, from weak to strong. Other values are clipped.
export function shade(value) {
  const share = Math.max(0, Math.min(1, value || 0));
  return `color-mix(in srgb, var(--mpnas-strong) ${Math.round(100 * share)}%, var(--mpnas-weak))`;
}
