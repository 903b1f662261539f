// What a time chart shows, as `mpnas_kit/widgets/lines.py` sends it, with numbers instead of bytes.
//
// content: lines (name and color of each), note, and panels. A panel has a title, percent
// (whether its values are shares), steps, references (value and label of each), and groups of lines:
// title, dashed, and values of every line in turn.

import { numbersOf } from "./numbers.js";

export function read(content) {
  const names = (content.lines ?? []).map(({ name }) => name);
  const panels = (content.panels ?? []).map((panel) => {
    const steps = numbersOf(panel.steps);
    const groups = panel.groups.map(({ title, dashed, values }) => {
      const all = numbersOf(values);
      const lines = names.map((_, i) => all.slice(i * steps.length, (i + 1) * steps.length));
      return { title, dashed, lines };
    });
    return { ...panel, steps, groups };
  });
  const colours = (content.lines ?? []).map(({ color }) => color);
  return { names, colours, panels, note: content.note ?? "" };
}

// Return a text that differs if a panel must be built anew, and not only redrawn.
export function structureOf({ title, percent, groups }) {
  return JSON.stringify([title, percent, groups.map((group) => [group.title, group.dashed])]);
}

// Return a text that differs if the chart must be built anew.
export const structure = ({ names, panels }) => JSON.stringify([names, panels.map(structureOf)]);

// Return whether two panels of one structure show the same numbers.
export function sameNumbers(one, other) {
  const equal = (a, b) => a.length === b.length && a.every((v, i) => Object.is(v, b[i]));
  return JSON.stringify(one.references) === JSON.stringify(other.references)
    && equal(one.steps, other.steps)
    && one.groups.every(({ lines }, g) => lines.every((line, i) => equal(line, other.groups[g].lines[i])));
}
