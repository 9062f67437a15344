// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* The table of a result's numbers. */

import { byId, element, number, setText } from "./dom.js";

const small = (value) =>
  typeof value === "number" && Number.isFinite(value)
    ? value === 0 || Math.abs(value) >= 1e-3 ? String(Number(value.toPrecision(3))) : value.toExponential(1)
    : "–";

const text = (value) => (value === null || value === undefined || value === "" ? "–" : String(value));

const ROWS = [
  ["Vertical cup-to-disc ratio", "vcdr", (value) => number(value, 3)],
  ["Confidence", "confidence", (value) => number(value, 3)],
  ["… of the location", "location_confidence", (value) => number(value, 3)],
  ["Gradients' cosine", "cosine", (value) => number(value, 3)],
  ["Learning rate", "learning_rate", small],
  ["Seconds", "seconds", (value) => number(value, 1)],
  ["Method", "method", text],
  ["Life cycle", "life_cycle", text],
  ["Images seen", "images_seen", text],
  ["Model version", "model_version", text],
];

/* Show the numbers of both results; either may be missing. */
export function drawNumbers(source, adapted) {
  const body = byId("numbers").tBodies[0];
  const rows = ROWS.map(([title, key, show]) => {
    const row = element("tr");
    const head = element("th", "", title);
    head.scope = "row";
    row.dataset.key = key;
    row.append(head);
    for (const result of [source, adapted]) {
      row.append(element("td", "", result ? show(result.params[key]) : "–"));
    }
    return row;
  });
  body.replaceChildren(...rows);
  const notes = [source, adapted].map((result) => result?.params.note).filter(Boolean);
  setText("result-note", [...new Set(notes)].join(" "));
}
