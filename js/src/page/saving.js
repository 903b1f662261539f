// Files that a page makes itself, without a server.

import { element } from "../dom.js";

// "Test accuracy, by domain: x" -> "test-accuracy-by-domain-x", at most 60 characters.
export function slug(text) {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.join("-").slice(0, 60).replace(/-$/, "");
}

// Name of a file: that of the page, and what it shows.
export function fileName(path, about, suffix) {
  const page = decodeURIComponent(path.split("/").pop()).replace(/\.html$/, "") || "page";
  return `${[page, slug(about)].filter(Boolean).join("-")}.${suffix}`;
}

export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// A row of small buttons: [[label, what it does in words, act]].
export function tools(buttons) {
  return element(
    "div",
    { class: "tools" },
    buttons.map(([label, words, act]) =>
      element("button", { type: "button", text: label, title: words, "aria-label": words, onclick: act }),
    ),
  );
}
