// The script of a report page. Without it the page can be read in full.

import { compareRuns } from "./page/compare.js";
import { addFigureTools } from "./page/figures.js";
import { addTableTools, focusWhatScrolls } from "./page/tables.js";
import { showTips } from "./page/tips.js";

document.querySelectorAll(".table").forEach(addTableTools);
compareRuns(document.querySelector(".compare"), document.getElementById("compared-runs"));
document.querySelectorAll("figure").forEach(addFigureTools);
showTips(document.querySelectorAll("figure svg"));
focusWhatScrolls();
addEventListener("resize", focusWhatScrolls);
