// A document for the tests of views, and a model as a widget has it.

import { JSDOM } from "jsdom";

// Make a new document the global one. Return its body.
export function newDocument() {
  const { window } = new JSDOM("<!doctype html><body></body>", { pretendToBeVisual: true });
  for (const name of ["document", "window", "MutationObserver", "HTMLElement", "SVGElement", "getComputedStyle", "Event", "KeyboardEvent", "MouseEvent"])
    globalThis[name] = name === "window" ? window : window[name] ?? window;
  globalThis.document = window.document;
  globalThis.requestAnimationFrame = window.requestAnimationFrame.bind(window);
  globalThis.cancelAnimationFrame = window.cancelAnimationFrame.bind(window);
  return window.document.body;
}

// A model with state. `sent` has the messages, `saved` counts `save_changes`.
export class Model {
  constructor(state) {
    this.state = { ...state };
    this.handlers = {};
    this.sent = [];
    this.saved = 0;
  }

  get(name) {
    return this.state[name];
  }

  set(name, value) {
    const changes = typeof name === "object" ? name : { [name]: value };
    Object.assign(this.state, changes);
    for (const key of Object.keys(changes)) this.emit(`change:${key}`);
    this.emit("change");
  }

  save_changes() {
    this.saved += 1;
  }

  send(message) {
    this.sent.push(message);
  }

  on(names, handler) {
    for (const name of names.split(" ")) (this.handlers[name] ??= []).push(handler);
  }

  off(names, handler) {
    for (const name of names.split(" "))
      this.handlers[name] = (this.handlers[name] ?? []).filter((h) => handler && h !== handler);
  }

  emit(name, ...values) {
    for (const handler of this.handlers[name] ?? []) handler(...values);
  }
}
