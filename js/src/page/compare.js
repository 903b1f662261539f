// Two runs side by side: the settings in which they differ, and their results.

import { element } from "../dom.js";
import { addTableTools } from "./tables.js";

const NONE = "–";
const DIFFERENCE = "Results. Difference: the second run minus the first one, in points of accuracy, "
  + "or as a share of the first size.";

// Settings that differ, as [name, first, second].
export function differences(first, second) {
  const names = [...new Set([...Object.keys(first.settings), ...Object.keys(second.settings)])];
  return names
    .map((name) => [name, first.settings[name] ?? NONE, second.settings[name] ?? NONE])
    .filter(([, one, other]) => one !== other);
}

// Results of both runs, as [name, first, second, difference]; each of the last three is
// {value, text}.
export function results(first, second) {
  const [ours, theirs] = [first, second].map((run) => new Map(run.results.map((one) => [one.name, one])));
  const absent = { value: null, text: NONE };
  return [...new Set([...ours.keys(), ...theirs.keys()])].map((name) => {
    const [one, other] = [ours.get(name) ?? absent, theirs.get(name) ?? absent];
    return [name, one, other, change(one.value, other.value, (ours.get(name) ?? theirs.get(name)).kind)];
  });
}

// Second minus first: in points of accuracy, or in percent of the first size.
export function change(first, second, kind) {
  if (first === null || second === null || (kind === "size" && !first)) return { value: null, text: NONE };
  const value = kind === "size" ? (100 * (second - first)) / first : 100 * (second - first);
  const digits = Math.abs(value).toFixed(1);
  const sign = Number(digits) === 0 ? "" : value < 0 ? "−" : "+";
  return { value, text: `${sign}${digits}${kind === "size" ? "%" : " points"}` };
}

export function compareRuns(place, data) {
  if (!place || !data) return;
  const runs = JSON.parse(data.textContent);
  const [first, second] = [0, 1].map((chosen, i) => chooser(runs, chosen, `Run ${i + 1}`, draw));
  const tables = element("div");
  const labels = [first, second].map((select, i) =>
    element("label", {}, [element("span", { text: `Run ${i + 1}` }), select]),
  );
  place.append(element("div", { class: "choice" }, labels), tables);
  draw();

  function draw() {
    const [one, other] = [runs[first.value], runs[second.value]];
    const settings = differences(one, other).map((row) => row.map((text) => ({ text })));
    const rows = results(one, other).map(([name, ...cells]) => [{ text: name }, ...cells]);
    tables.replaceChildren(
      tableOf(DIFFERENCE, ["result", one.name, other.name, "difference"], rows, true),
      settings.length
        ? tableOf("Settings that differ", ["setting", one.name, other.name], settings, false)
        : element("p", { text: "These runs have the same settings." }),
    );
    tables.querySelectorAll(".table").forEach(addTableTools);
  }
}

function chooser(runs, chosen, label, changed) {
  const options = runs.map((run, i) => element("option", { value: i, text: run.name, selected: i === chosen }));
  return element("select", { "aria-label": label, onchange: changed }, options);
}

function tableOf(caption, heads, rows, numeric) {
  const kind = (i) => (numeric && i > 0 ? { class: "number" } : {});
  const head = heads.map((text, i) => element("th", { ...kind(i), scope: "col", text }));
  const body = rows.map((row) =>
    element(
      "tr",
      {},
      row.map(({ text, value }, i) =>
        i === 0
          ? element("th", { scope: "row", text })
          : element("td", { ...kind(i), "data-value": value, text }),
      ),
    ),
  );
  const table = element("table", {}, [
    element("caption", { text: caption }),
    element("thead", {}, [element("tr", {}, head)]),
    element("tbody", {}, body),
  ]);
  return element("div", { class: "table", role: "group", "aria-label": caption }, [table]);
}
