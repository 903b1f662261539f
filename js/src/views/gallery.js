// Images page by page, and one of them enlarged in a dialog.
//
// The images of a page come as one picture with all of them side by side. Python sends another page
// when `first` changes, and an image in its own size when `opened` does.

import { asButton, element, keepKeys, moveWithArrows } from "../dom.js";
import { percent } from "../words.js";
import { followWidth } from "../width.js";

const ITEM = 104, ROWS = 3, MOST = 96; // pixels per image, rows of a page, images of a page

// Return the images that a page of this width holds.
export const capacity = (width) => Math.min(MOST, ROWS * Math.max(2, Math.floor((width + 8) / ITEM)));

// Return the first image of the page that a button leads to.
export function turned(name, first, size, total) {
  const last = Math.max(0, Math.floor((total - 1) / size) * size);
  const to = { First: 0, Previous: first - size, Next: first + size, Last: last }[name];
  return Math.max(0, Math.min(last, to));
}

const blob = (bytes) => URL.createObjectURL(new Blob([bytes], { type: "image/png" }));

function render({ model, el }) {
  const steps = ["First", "Previous", "Next", "Last"].map((name) => {
    const button = element("button", { type: "button", text: name });
    asButton(button, () => turn(name));
    return button;
  });
  const position = element("span", { role: "status" });
  const pager = element("div", { class: "controls", role: "group", "aria-label": "pages of images" }, [
    ...steps.slice(0, 2), position, ...steps.slice(2),
  ]);
  const list = element("ul", { class: "gallery" });
  const note = element("p", { class: "quiet", text: "No image matches these choices." });
  const root = element("div", { class: "mpnas images" }, [pager, list, note]);
  keepKeys(root);
  el.append(root);
  let items = [], sprite = null, held = null, columns = 1;

  const size = () => model.get("capacity");
  function turn(name) {
    model.set("first", turned(name, model.get("first"), size(), model.get("content").total));
    model.save_changes();
  }
  function open(index) {
    model.set("opened", index);
    model.save_changes();
  }

  // The page.
  function draw() {
    const { total, first, items: shown, grid } = model.get("content");
    if (total === undefined) return;
    const inside = list.contains(document.activeElement);
    if (sprite) URL.revokeObjectURL(sprite);
    sprite = shown.length ? blob(model.get("sprite")) : null;
    items = shown.map((one, i) => item(one, i, first, grid));
    list.replaceChildren(...items.map((button) => element("li", {}, [button])));
    note.hidden = total > 0;
    list.hidden = pager.hidden = total === 0;
    const last = first + shown.length;
    const [from, to, of] = [first + 1, last, total].map((n) => n.toLocaleString("en"));
    position.textContent = `images ${from} to ${to} of ${of}`;
    steps.forEach((button, i) => { button.disabled = i < 2 ? first === 0 : last >= total; });
    if (items[0]) items[0].tabIndex = 0;
    if (inside) items[0]?.focus();
  }

  function item({ alt, lines, right }, i, first, [across, down]) {
    const share = (k, count) => (count > 1 ? (100 * k) / (count - 1) : 0);
    const at = `${share(i % across, across)}% ${share(Math.floor(i / across), down)}%`;
    const picture = element("span", {
      class: "thumb", style: `background:url(${sprite}) ${at} / ${100 * across}% ${100 * down}%`,
    });
    const [name, ...more] = lines;
    const button = element("button", { type: "button", tabindex: -1, "aria-label": alt }, [
      picture, element("span", { text: name }),
      ...more.map((line) => element("span", { class: right ? "" : "wrong", text: line })),
    ]);
    asButton(button, () => open(first + i));
    button.addEventListener("focus", () => {
      for (const one of items) one.tabIndex = one === button ? 0 : -1;
    });
    button.addEventListener("keydown", (event) => keys(event, i));
    return button;
  }

  function keys(event, i) {
    const page = { PageUp: "Previous", PageDown: "Next", Home: "First", End: "Last" }[event.key];
    if (page) {
      event.preventDefault();
      event.stopPropagation();
      return turn(page);
    }
    const place = (row, column) =>
      column < 0 || column >= columns ? undefined : items[row * columns + column];
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (event.key === "ArrowRight" && column === columns - 1 && items[i + 1]) items[i + 1].focus();
    else if (event.key === "ArrowLeft" && column === 0 && items[i - 1]) items[i - 1].focus();
    else return moveWithArrows(event, row, column, place);
    event.preventDefault();
    event.stopPropagation();
    return undefined;
  }

  // The dialog.
  const picture = element("img");
  const title = element("h3");
  const facts = element("p", { class: "quiet" });
  const likely = element("table", { class: "likely" });
  const [back, on] = [["Previous", -1], ["Next", 1]].map(([text, step]) => {
    const button = element("button", { type: "button", text });
    asButton(button, () => open(model.get("opened") + step));
    return button;
  });
  const close = element("button", { type: "button", text: "Close" });
  asButton(close, () => dialog.close());
  const dialog = element("dialog", { class: "enlarged" }, [
    element("div", { class: "controls" }, [title, back, on, close]),
    element("div", { class: "sides" }, [picture, element("div", {}, [facts, likely])]),
  ]);
  root.append(dialog);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const step = { ArrowLeft: back, ArrowRight: on }[event.key];
    if (step && !step.disabled) step.click();
  });
  dialog.addEventListener("close", () => {
    const index = model.get("opened");
    if (index >= 0) open(-1);
    items[index - model.get("content").first]?.focus();
  });

  const line = ({ name, share, is }) => element("tr", { class: is ? "is" : "" }, [
    element("th", { scope: "row", text: name }),
    element("td", {}, [element("span", { class: "share", style: `width:${(6 * share).toFixed(2)}em` })]),
    element("td", { class: "number", text: percent(share) }),
    element("td", { text: is ? "the class" : "" }),
  ]);

  function enlarge() {
    const { index, total, title: name, facts: about, top, alt } = model.get("details");
    if (model.get("opened") < 0 || index === undefined) {
      if (dialog.open) dialog.close();
      return;
    }
    if (held) URL.revokeObjectURL(held);
    held = blob(model.get("large"));
    picture.src = held;
    picture.alt = alt;
    title.textContent = name;
    dialog.setAttribute("aria-label", `${name}, enlarged`);
    facts.textContent = about;
    likely.hidden = !top.length;
    likely.replaceChildren(element("caption", { text: "most likely classes" }), ...top.map(line));
    back.disabled = index === 0;
    on.disabled = index === total - 1;
    if (!dialog.open) dialog.showModal();
  }

  model.on("change:content", draw);
  model.on("change:details change:opened", enlarge);
  draw();
  const end = followWidth(root, (width) => {
    columns = Math.max(2, Math.floor((width + 8) / ITEM));
    if (capacity(width) === size()) return;
    model.set("capacity", capacity(width));
    model.save_changes();
  });
  return () => {
    end();
    for (const address of [sprite, held]) if (address) URL.revokeObjectURL(address);
  };
}

export default { render };
