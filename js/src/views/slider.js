// A number that is set by a slider. It is written when the slider is released, or moved by a key.
//
// model: label, value, min, max, and log (whether equal distances are equal ratios).

import { element, keepKeys } from "../dom.js";
import { amount } from "../words.js";

const PLACES = 200;

// Return the value at a place of the slider, 0 to 200, with three digits.
export function valueAt(place, { min, max, log }) {
  const share = place / PLACES;
  return Number((log ? min * (max / min) ** share : min + share * (max - min)).toPrecision(3));
}

// Return the place of a value.
export function placeOf(value, { min, max, log }) {
  return PLACES * (log ? Math.log(value / min) / Math.log(max / min) : (value - min) / (max - min));
}

function render({ model, el }) {
  const range = () => ({ min: model.get("min"), max: model.get("max"), log: model.get("log") });
  const slider = element("input", { type: "range", min: 0, max: PLACES, step: 1 });
  const output = element("output", { class: "amount" });
  const root = element("div", { class: "mpnas" }, [
    element("label", {}, [model.get("label"), slider, output]),
  ]);
  keepKeys(root);
  el.append(root);
  function show(value) {
    output.textContent = amount(value);
    slider.setAttribute("aria-valuetext", output.textContent);
  }
  slider.addEventListener("input", () => show(valueAt(slider.value, range())));
  slider.addEventListener("change", () => {
    model.set("value", valueAt(slider.value, range()));
    model.save_changes();
  });
  function draw() {
    slider.value = placeOf(model.get("value"), range());
    show(model.get("value"));
  }
  model.on("change:value", draw);
  draw();
}

export default { render };
