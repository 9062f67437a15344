// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* What the page tells a person: an alert for what went wrong, a line for what goes on. */

import { byId, element, setText } from "./dom.js";

let again = null;
let ticking = null;

export function showError(error, retry = null) {
  if (error.name === "AbortError") return;
  again = retry;
  setText("alert-text", error.message || String(error));
  byId("retry").hidden = !retry;
  byId("alert").hidden = false;
}

export function clearError() {
  again = null;
  byId("alert").hidden = true;
  setText("alert-text", "");
}

export function say(text) {
  stopTicking();
  setText("status", text);
}

/* Say what is being done, with the seconds so far. */
export function sayBusy(text) {
  stopTicking();
  const start = performance.now();
  const seconds = element("span", "soft");
  seconds.setAttribute("aria-hidden", "true"); // a screen reader need not hear every second
  const words = element("span", "", text);
  words.setAttribute("aria-busy", "true");
  byId("status").replaceChildren(words, seconds);
  ticking = setInterval(() => {
    seconds.textContent = ` ${Math.round((performance.now() - start) / 1000)} s`;
  }, 1000);
}

function stopTicking() {
  clearInterval(ticking);
  ticking = null;
}

/* Do something for a click: the button shows that it is busy, an error offers to try again. */
export async function attempt(button, action) {
  if (button?.getAttribute("aria-busy") === "true") return; // a second click or key press
  clearError();
  button?.setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    showError(error, () => attempt(button, action));
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

export function setUpMessages() {
  byId("dismiss").addEventListener("click", clearError);
  byId("retry").addEventListener("click", () => again?.());
}
