// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* Requests to the annotation server: MONAI Label's REST API and what lies beneath /grata/. */

import { memory } from "./dom.js";

/* The page is .../grata/, MONAI Label's API one folder above it, also behind a proxy's prefix. */
const ROOT = new URL("../", new URL(".", document.baseURI));

let token = memory.get("token");
let askToSignIn = async () => {
  throw new ServerError("The server asks for a sign-in.", 401);
};

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0: not reached
  }
}

/* `ask` shows a form and resolves once a token is set. */
export function onSignIn(ask) {
  askToSignIn = ask;
}

export function setToken(value) {
  token = value;
  memory.set("token", value);
}

export const hasToken = () => Boolean(token);

/* The id of this tab: the server keeps one adapted state per id. */
export const clientId = memory.get("client") || randomId();
memory.set("client", clientId);

function randomId() {
  // crypto.randomUUID is missing where the page is not served by HTTPS or localhost.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* Send one request; a refusal for lack of a valid token is answered by a sign-in and sent again. */
async function request(path, options = {}) {
  for (;;) {
    const sent = token;
    const response = await send(path, options);
    if (response.ok) return response;
    if (response.status !== 401) throw new ServerError(await explain(response), response.status);
    if (token === sent) setToken(null);
    if (!token) await askToSignIn();
  }
}

async function send(path, { query = {}, ...options }) {
  const url = new URL(path, ROOT);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(
      "The server cannot be reached. Nothing on this page is lost; try again when it is back.", 0,
    );
  }
}

async function explain(response) {
  let detail = "";
  try {
    detail = readDetail((await response.json()).detail);
  } catch {
    // Not JSON: a proxy's or a crashed server's page, of no use to a person.
  }
  if (response.status >= 500) {
    const said = detail ? ` It says: ${detail}` : "";
    return `The server failed to do this (HTTP ${response.status}).${said}`;
  }
  return detail || `The server refused this (HTTP ${response.status}).`;
}

/* FastAPI's own checks answer with a list of findings. */
function readDetail(detail) {
  if (typeof detail === "string") return detail;
  if (!Array.isArray(detail)) return "";
  return detail.map((one) => `${(one.loc || []).join(".")}: ${one.msg}`).join("; ");
}

const json = async (path, options) => (await request(path, options)).json();

function form(fields) {
  const made = new FormData();
  for (const [name, value, fileName] of fields) {
    if (fileName) made.append(name, value, fileName);
    else made.append(name, value);
  }
  return made;
}

const jsonBody = (value) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(value),
});

export const info = () => json("info/");
export const versions = () => json("grata/versions");
export const authentication = () => json("grata/auth");

export async function studies() {
  return (await json("datastore/", { query: { output: "all" } })).objects || {};
}

/* The photograph as a blob with its native size. */
export async function preview(image, size, signal) {
  const response = await request("grata/preview", { query: { image, size }, signal });
  const side = (name) => Number(response.headers.get(name));
  return {
    blob: await response.blob(),
    width: side("X-Native-Width"),
    height: side("X-Native-Height"),
  };
}

/* The label map's file and what the server says about it. */
export async function infer(model, image, params, signal) {
  const text = JSON.stringify({ ...params, client_id: clientId, result_extension: ".png" });
  const response = await request(`infer/${encodeURIComponent(model)}`, {
    method: "POST", query: { image }, body: form([["params", text]]), signal,
  });
  const type = response.headers.get("Content-Type") || "";
  const parts = type.startsWith("multipart/") ? await response.formData() : null;
  if (!parts?.get("image") || !parts.get("params")) {
    throw new ServerError("The server's answer holds no label map.", response.status);
  }
  const said = parts.get("params");
  const params_ = JSON.parse(typeof said === "string" ? said : await said.text());
  return { label: parts.get("image"), params: params_ };
}

export function saveLabel(image, label, params) {
  // MONAI Label takes every suffix of the name: "a.b.png" would become ".b.png".
  const body = form([["params", JSON.stringify(params)], ["label", label, "label.png"]]);
  return request("datastore/label", { method: "PUT", query: { image, tag: "final" }, body });
}

export function sendBack(image, note) {
  const body = form([["note", note], ["client_id", clientId]]);
  return request("grata/send-back", { method: "POST", query: { image }, body });
}

export async function nextHardest() {
  return (await json("activelearning/hardest_first", jsonBody({ client_id: clientId }))).id;
}

export function useVersion(name) {
  const path = `grata/versions/${encodeURIComponent(name)}/current`;
  return json(path, { method: "POST" });
}

export const train = (epochs) => json("train/fundus", jsonBody({ max_epochs: epochs }));

/* The last training's task, or null if there was none. */
export async function training() {
  try {
    return await json("train/");
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

export async function signIn(username, password) {
  const body = new URLSearchParams({ username, password, grant_type: "password" });
  const response = await send("auth/token", { method: "POST", body });
  if (response.status >= 500) {
    // MONAI Label answers so when its identity server refuses, too.
    throw new ServerError("Name or password is wrong, or the sign-in service is down.", 500);
  }
  if (response.status === 401) throw new ServerError("Name or password is wrong.", 401);
  if (!response.ok) throw new ServerError(await explain(response), response.status);
  setToken((await response.json()).access_token);
}
