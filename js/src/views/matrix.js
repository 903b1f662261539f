// A table of shaded cells with named rows and columns. Cells are buttons; arrow keys move the focus.

import { shade } from "../colours.js";
import { asButton, element, keepKeys, moveWithArrows } from "../dom.js";
import { percent } from "../words.js";

function render({ model, el }) {
  const root = element("div", { class: "mpnas" });
  keepKeys(root);
  const scroll = element("div", { class: "scroll" });
  root.append(scroll);
  el.append(root);

  function draw() {
    const { rows, columns, values, texts, title, small } = model.get("content");
    if (!rows) return;
    const [r0, c0] = model.get("selected").length ? model.get("selected") : [-1, -1];
    const buttons = [];
    const body = rows.map((name, r) => element("tr", {}, [
      element("th", { scope: "row", text: name }),
      ...columns.map((column, c) => {
        const value = values[r][c], here = r === r0 && c === c0;
        const button = element("button", {
          type: "button", text: texts ? texts[r][c] : "", "aria-label": `${name}, ${column}: ${texts && texts[r][c] !== "" ? texts[r][c] : percent(value || 0)}`,
          "aria-pressed": here, tabindex: (r0 < 0 ? r + c === 0 : here) ? 0 : -1,
          style: `background:${shade(value)};color:${value > 0.55 ? "var(--mpnas-page)" : "var(--mpnas-ink)"}`,
        });
        asButton(button, () => { model.set("selected", [r, c]); model.save_changes(); });
        button.addEventListener("keydown", (event) => moveWithArrows(event, r, c, (i, j) => buttons[i]?.[j]));
        (buttons[r] = buttons[r] || []).push(button);
        return element("td", {}, [button]);
      }),
    ]));
    const head = element("tr", {}, [element("td"), ...columns.map((c) =>
      element("th", { scope: "col" }, [element("span", { text: c })]))]);
    const focused = scroll.contains(document.activeElement);
    scroll.replaceChildren(element("table", { class: `matrix${small ? " small" : ""}`, "aria-label": title }, [
      element("thead", {}, [head]), element("tbody", {}, body),
    ]));
    if (focused && r0 >= 0) buttons[r0]?.[c0]?.focus();
  }

  model.on("change:content change:selected", draw);
  draw();
}

export default { render };
