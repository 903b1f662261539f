// Buttons that pause, resume and stop a search. Clicks are sent as messages, not as state: while a
// cell waits for the search, the kernel accepts only one change of state until the cell ends.

import { asButton, element, keepKeys } from "../dom.js";

function render({ model, el }) {
  const pause = element("button", { type: "button" });
  const stop = element("button", { type: "button", text: "Stop" });
  asButton(pause, () => model.send({ do: model.get("paused") ? "resume" : "pause" }));
  asButton(stop, () => model.send({ do: "stop" }));
  const root = element("div", { class: "mpnas" }, [
    element("div", { class: "controls", role: "group", "aria-label": "the search" }, [
      pause, stop, element("span", { role: "status" }),
    ]),
  ]);
  keepKeys(root);
  el.append(root);
  const draw = () => {
    pause.textContent = model.get("paused") ? "Resume" : "Pause";
    pause.disabled = stop.disabled = !model.get("running");
    root.querySelector("[role=status]").textContent = model.get("status");
  };
  model.on("change", draw);
  draw();
}

export default { render };
