import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    rules: {
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-shadow": "error",
      "max-len": ["error", { code: 110, ignoreTemplateLiterals: true, ignoreStrings: true }],
    },
  },
  { files: ["build.js", "test/**"], languageOptions: { globals: globals.node } },
];
