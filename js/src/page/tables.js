// Tables: sort their rows, and save them as CSV with exact values.

import { element } from "../dom.js";
import { fileName, save, tools } from "./saving.js";

// Text of a cell, without what only screen readers get.
export function textOf(cell) {
  if (!cell.querySelector(".unseen, small, svg")) return cell.textContent.trim();
  const copy = cell.cloneNode(true);
  copy.querySelectorAll(".unseen, small, svg").forEach((one) => one.remove());
  return copy.textContent.trim();
}

// Exact value of a cell as text: empty if it is not known.
export const valueOf = (cell) => cell.getAttribute("data-value") ?? textOf(cell);

const UNITS = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const NUMBER = /^[+±]?\s*([-−]?[\d,]*\.?\d+)\s*([kMGT]?)B?\s*(?:%|x|points)?$/;

// Number that a text stands for; NaN: none. "1,234" -> 1234, "91.2%" -> 91.2, "1.2 M" -> 1200000
export function numberOf(text) {
  const found = NUMBER.exec(text) ?? [];
  const number = Number(found[1]?.replaceAll(",", "").replace("−", "-"));
  return Number.isNaN(number) && text.trim() ? Number(text) : number * UNITS[found[2]];
}

// Order of two values, ascending. Numbers come before texts.
export function compareValues(first, second) {
  const [a, b] = [numberOf(first), numberOf(second)];
  if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b;
  if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
  return first.localeCompare(second, "en", { numeric: true });
}

const absent = (text) => text === "" || text === "–";

// Indices of the values in order. direction: "ascending" or "descending". Equal values keep their
// order, and absent ones are last.
export function orderOf(values, direction) {
  const sign = direction === "descending" ? -1 : 1;
  return values
    .map((_, i) => i)
    .sort((i, j) => {
      const [first, second] = [values[i], values[j]];
      if (absent(first) || absent(second)) return absent(first) - absent(second) || i - j;
      return sign * compareValues(first, second) || i - j;
    });
}

// [["a", 'say "b"']] -> 'a,"say ""b"""\r\n'
export function csvOf(rows) {
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
}

// Heading and cells of a table as rows of texts. A spread is a column of its own.
export function rowsOf(table) {
  const heads = headsOf(table);
  const body = [...table.tBodies].flatMap((part) => [...part.rows]);
  const kept = heads.map((head, i) => i).filter((i) => !heads[i].classList.contains("meter-head"));
  const spread = kept.filter((i) => body.some((row) => row.cells[i]?.hasAttribute("data-spread")));
  const columns = kept.flatMap((i) => (spread.includes(i) ? [[i, false], [i, true]] : [[i, false]]));
  const name = (head) => head.getAttribute("data-name") ?? textOf(head);
  return [
    columns.map(([i, wide]) => name(heads[i]) + (wide ? " spread" : "")),
    ...body.map((row) =>
      columns.map(([i, wide]) =>
        wide ? (row.cells[i].getAttribute("data-spread") ?? "") : valueOf(row.cells[i]),
      ),
    ),
  ];
}

// Cells of the last row of the heading: one per column.
export const headsOf = (table) => [...([...(table.tHead?.rows ?? [])].at(-1)?.cells ?? [])];

export function addTableTools(frame) {
  const table = frame.querySelector("table");
  if (!table?.tHead || !table.tBodies.length) return;
  if (table.tBodies[0].rows.length > 1) headsOf(table).forEach((head, i) => addSorting(table, head, i));
  const words = table.caption?.textContent ?? frame.getAttribute("aria-label") ?? "table";
  const csv = () => {
    const name = fileName(location.pathname, words.split(/[.:]/)[0], "csv");
    save(new Blob([csvOf(rowsOf(table))], { type: "text/csv;charset=utf-8" }), name);
  };
  frame.append(tools([["CSV", "Save this table as CSV", csv]]));
}

function addSorting(table, head, column) {
  if (head.classList.contains("meter-head")) return;
  const body = table.tBodies[0];
  const original = [...body.rows];
  const numeric = head.classList.contains("number");
  const first = numeric ? "descending" : "ascending";
  const second = numeric ? "ascending" : "descending";
  const button = element("button", { type: "button", class: "sort", onclick: sort }, [...head.childNodes]);
  head.append(button);

  function sort() {
    const now = head.getAttribute("aria-sort");
    const next = now === first ? second : now === second ? null : first;
    headsOf(table).forEach((one) => one.removeAttribute("aria-sort"));
    if (next) head.setAttribute("aria-sort", next);
    const values = original.map((row) => valueOf(row.cells[column]));
    body.append(...(next ? orderOf(values, next).map((i) => original[i]) : original));
  }
}

// A frame can have the focus if it can be scrolled: then the arrow keys scroll it.
export function focusWhatScrolls() {
  for (const frame of document.querySelectorAll(".table, figure")) {
    const scrolls = frame.scrollWidth > frame.clientWidth;
    if (scrolls) frame.setAttribute("tabindex", "0");
    else frame.removeAttribute("tabindex");
  }
}
