// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* Helpers for the page's elements. Names of files are strangers' text: they only ever become
   textContent or attributes, never markup. */

export const byId = (id) => document.getElementById(id);

/* An element with a class and text. */
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

export function setText(id, text) {
  byId(id).textContent = text;
}

/* A number with so many digits, a dash for none. */
export function number(value, digits) {
  return typeof value === "number" && Number.isFinite(value) ? value.toFixed(digits) : "–";
}

/* Fill a select; the first value is chosen unless `chosen` is one of them. */
export function fillSelect(select, values, chosen, titles = {}) {
  select.replaceChildren(
    ...values.map((value) => {
      const option = element("option", "", titles[value] || value);
      option.value = value;
      return option;
    }),
  );
  if (values.includes(chosen)) select.value = chosen;
}

/* What this tab remembers over a reload; a browser may forbid storage altogether. */
export const memory = {
  get(key) {
    try {
      return JSON.parse(sessionStorage.getItem(`grata.${key}`));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      sessionStorage.setItem(`grata.${key}`, JSON.stringify(value));
    } catch {
      // Then it lives as long as the page.
    }
  },
};
