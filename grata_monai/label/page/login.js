// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* The sign-in form. Requests that were refused wait for it and are then sent again. */

import * as api from "./api.js";
import { byId, setText } from "./dom.js";

let waiting = null;

/* Show the form until somebody is signed in; askers share one form. */
function ask() {
  waiting ||= new Promise((resolve) => {
    setText("login-error", "");
    byId("login").addEventListener("close", () => {
      waiting = null;
      resolve();
    }, { once: true });
    byId("login").showModal();
    byId("username").focus();
  });
  return waiting;
}

async function submit(event) {
  event.preventDefault();
  const [name, password] = [byId("username"), byId("password")];
  const button = event.target.querySelector("button");
  button.setAttribute("aria-busy", "true");
  setText("login-error", "");
  try {
    await api.signIn(name.value, password.value);
    password.value = "";
    byId("sign-out").hidden = false;
    byId("login").close();
  } catch (error) {
    setText("login-error", error.message);
    password.focus();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

export function setUpLogin() {
  api.onSignIn(ask);
  byId("login-form").addEventListener("submit", submit);
  // Escape would leave a page that can do nothing.
  byId("login").addEventListener("cancel", (event) => event.preventDefault());
  byId("sign-out").hidden = !api.hasToken();
  byId("sign-out").addEventListener("click", () => {
    api.setToken(null);
    location.reload();
  });
}

/* Ask at once if the server wants a sign-in and there has been none. */
export async function signInIfNeeded() {
  if ((await api.authentication()).enabled && !api.hasToken()) await ask();
}
