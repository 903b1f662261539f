// Bundle the sources: one module per view of the explorers, their styles, and the script of pages.
//
//   npm run build            writes the bundles into the Python package
//   node build.js FOLDER     writes them below FOLDER instead, for a test that compares the two

import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE = resolve(process.argv[2] ?? join(HERE, "..", "mpnas_kit"));
const common = {
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  logLevel: "warning",
  absWorkingDir: HERE,
};

const views = readdirSync(join(HERE, "src", "views")).map((file) => `src/views/${file}`);
await build({
  ...common,
  entryPoints: [...views, "src/views.css"],
  outdir: join(PACKAGE, "widgets", "static"),
  entryNames: "[name]",
  format: "esm",
});
await build({
  ...common,
  entryPoints: ["src/page.js"],
  outfile: join(PACKAGE, "report", "template", "page.js"),
  format: "iife",
});
