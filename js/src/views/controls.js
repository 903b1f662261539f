// The state of a stage, and buttons that pause, resume and stop it. Clicks are sent as messages, not
// as state: while a cell waits for the stage, the kernel accepts only one change of state until the
// cell ends.
//
// model: stage (its name), state (a word), status (words), progress (0 to 1), can (what can be done:
// `pause`, `stop`), and foreign (whether another process runs the stage: Stop asks once more).

import { asButton, element, keepKeys } from "../dom.js";

function render({ model, el }) {
  const button = (text, act) => {
    const made = element("button", { type: "button", text });
    asButton(made, act);
    return made;
  };
  const pause = button("Pause", () => model.send({ do: model.get("state") === "paused" ? "resume" : "pause" }));
  const stop = button("Stop", () => (model.get("foreign") ? ask(true) : model.send({ do: "stop" })));
  const yes = button("Stop it", () => {
    ask(false);
    model.send({ do: "stop" });
  });
  const no = button("Keep it running", () => {
    ask(false);
    stop.focus();
  });
  const question = element("span", { hidden: true, role: "group", "aria-label": "stop for certain?", class: "controls" }, [
    element("span"), yes, no,
  ]);
  const badge = element("b", { class: "badge" });
  const bar = element("progress", { max: 1 });
  const status = element("span", { role: "status" });
  const foreign = element("span", {
    class: "quiet", text: "Another process runs it: it can be stopped here, but not paused.",
  });
  const group = element("div", { class: "controls", role: "group" }, [
    badge, bar, status, pause, stop, question, foreign,
  ]);
  const root = element("div", { class: "mpnas stage" }, [group]);
  keepKeys(root);
  el.append(root);
  function ask(now) {
    question.hidden = !now;
    stop.hidden = now;
    if (now) yes.focus();
  }
  function draw() {
    const stage = model.get("stage"), state = model.get("state"), can = model.get("can");
    group.setAttribute("aria-label", `the ${stage}`);
    question.firstChild.textContent = `Stop the ${stage} of another process? It ends its step and writes a checkpoint.`;
    badge.textContent = state;
    badge.className = `badge ${state.replace(" ", "-")}`;
    bar.value = model.get("progress");
    bar.setAttribute("aria-label", `progress of the ${stage}`);
    pause.textContent = state === "paused" ? "Resume" : "Pause";
    pause.disabled = !can.includes("pause");
    stop.disabled = !can.includes("stop");
    pause.hidden = state === "finished" || model.get("foreign");
    foreign.hidden = !model.get("foreign") || state !== "running";
    if (stop.disabled && !question.hidden) ask(false);
    stop.hidden = state === "finished" || !question.hidden;
    if (status.textContent !== model.get("status")) status.textContent = model.get("status");
  }
  model.on("change", draw);
  draw();
}

export default { render };
