// A table that sorts by any column. Its rows can be selected, and searched if there are many.
//
// A cell is { value, text } and, for a mean over seeds, { low, high }; `mark` is a word beside it.

import { asButton, drawn, element, keepKeys } from "../dom.js";

const BAR = 56; // pixels, the width of an interval
const DIRECTIONS = ["ascending", "descending"];

// Return the rows in the order of a column. Rows without a value come last.
export function sorted(rows, column, direction) {
  const sign = direction === "descending" ? -1 : 1;
  const value = (row) => row.cells[column].value ?? null;
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  });
}

// Return the range that the intervals of a column span: [low, high], or null if it has none.
export function span(rows, column) {
  const cells = rows.map((row) => row.cells[column]).filter((cell) => Number.isFinite(cell.low));
  if (!cells.length) return null;
  const values = rows.map((row) => row.cells[column].value).filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)], room = 0.5 * (high - low) || 0.05;
  return [
    Math.max(low - room, Math.min(...cells.map((cell) => cell.low))),
    Math.min(high + room, Math.max(...cells.map((cell) => cell.high))),
  ];
}

// An interval as a line with a point, in the common range of its column.
function bar({ value, low, high }, [from, to]) {
  const x = (v) => 4 + (BAR - 8) * Math.max(0, Math.min(1, (v - from) / (to - from || 1)));
  const parts = Number.isFinite(low) ? [drawn("path", { class: "interval", d: `M${x(low)} 7H${x(high)}` })] : [];
  parts.push(drawn("circle", { class: "body", cx: x(value), cy: 7, r: 3.2 }));
  return drawn("svg", { width: BAR, height: 14, "aria-hidden": "true" }, parts);
}

function render({ model, el }) {
  const search = element("input", { type: "search" });
  const found = element("span", { role: "status", class: "quiet" });
  const tools = element("label", { class: "controls" }, [element("span"), search, found]);
  const scroll = element("div", { class: "scroll" });
  const root = element("div", { class: "mpnas listing" }, [tools, scroll]);
  keepKeys(root);
  el.append(root);
  let rows = [], body = null, heads = [];

  function select(key) {
    model.set("selected", model.get("selected") === key ? "" : key);
    model.save_changes();
  }

  function row(one, columns, spans) {
    const button = element("button", { type: "button", tabindex: -1, text: one.cells[0].text });
    const line = element("tr", {}, [
      element("th", { scope: "row" }, [button]),
      ...one.cells.slice(1).map((cell, i) => {
        const parts = cell.mark ? [element("span", { class: `mark ${cell.mark}`, text: cell.mark })] : [];
        if (spans[i + 1] && Number.isFinite(cell.value)) parts.push(bar(cell, spans[i + 1]));
        parts.push(cell.text);
        return element("td", { class: columns[i + 1].kind, title: cell.about }, parts);
      }),
    ]);
    asButton(button, (event) => {
      event.stopPropagation();
      select(one.key);
    });
    line.addEventListener("click", () => select(one.key));
    button.addEventListener("focus", () => {
      for (const other of rows) other.button.tabIndex = other.button === button ? 0 : -1;
    });
    button.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const seen = rows.filter((r) => !r.line.hidden);
      seen[seen.findIndex((r) => r.button === button) + step]?.button.focus();
    });
    return { ...one, line, button };
  }

  function build() {
    const { title, columns, rows: given, search: about } = model.get("content");
    if (!columns) return;
    tools.hidden = !about;
    tools.firstChild.textContent = about ?? "";
    const spans = columns.map((_, i) => span(given, i));
    rows = given.map((one) => row(one, columns, spans));
    heads = columns.map(({ name, kind, about: more }, i) => {
      const button = element("button", { type: "button", text: name, title: more });
      asButton(button, () => {
        const [by, direction] = model.get("order");
        const first = kind === "number" ? 1 : 0;
        const next = by === i ? 1 - DIRECTIONS.indexOf(direction) : first;
        model.set("order", [i, DIRECTIONS[next]]);
        model.save_changes();
      });
      return element("th", { scope: "col", class: kind }, [button]);
    });
    body = element("tbody");
    scroll.replaceChildren(element("table", { class: "rows", "aria-label": title }, [
      element("thead", {}, [element("tr", {}, heads)]), body,
    ]));
    arrange();
  }

  function arrange() {
    if (!body) return;
    const [by, direction] = model.get("order");
    heads.forEach((head, i) => {
      if (i === by) head.setAttribute("aria-sort", direction);
      else head.removeAttribute("aria-sort");
    });
    if (by !== undefined) rows = sorted(rows, by, direction);
    body.replaceChildren(...rows.map((one) => one.line));
    filter();
  }

  function filter() {
    const wanted = search.value.trim().toLowerCase();
    for (const one of rows)
      one.line.hidden = !one.cells.some((cell) => typeof cell.value === "string" && cell.value.toLowerCase().includes(wanted));
    const left = rows.filter((one) => !one.line.hidden);
    found.textContent = wanted ? `${left.length} of ${rows.length}` : "";
    show();
  }

  function show() {
    const key = model.get("selected"), seen = rows.filter((one) => !one.line.hidden);
    const first = seen.find((one) => one.key === key) ?? seen[0];
    for (const one of rows) {
      one.line.classList.toggle("chosen", one.key === key);
      one.button.setAttribute("aria-pressed", one.key === key);
      one.button.tabIndex = one === first ? 0 : -1;
    }
    const line = rows.find((one) => one.key === key)?.line;
    if (!line || scroll.scrollHeight <= scroll.clientHeight) return;
    const head = scroll.querySelector("thead").offsetHeight;
    const [from, to] = [scroll.scrollTop + head, scroll.scrollTop + scroll.clientHeight - head];
    if (line.offsetTop < from || line.offsetTop > to) scroll.scrollTop = line.offsetTop - 2 * head;
  }

  search.addEventListener("input", filter);
  model.on("change:content", build);
  model.on("change:order", arrange);
  model.on("change:selected", show);
  build();
}

export default { render };
