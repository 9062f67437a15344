// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* The foot of the page: versions of the model, and training from accepted labels. */

import * as api from "./api.js";
import { byId, element, number, setText } from "./dom.js";
import { attempt, showError } from "./messages.js";

const ASK_EVERY = 3000; // ms
const LINES = 200;
const KINDS = { imported: "imported", fine_tuned: "fine-tuned" };
const WORDS = {
  PENDING: "Training waits to start …", RUNNING: "Training …", DONE: "The last training is done.",
  ERROR: "The last training failed; the log says why.", STOPPED: "The last training was stopped.",
};

export class Versions {
  #timer = null;
  #wasRunning = false;

  /* `changed(name)` is called when another version is in use. */
  constructor(changed) {
    this.changed = changed;
    this.current = null;
    byId("train-form").addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(byId("train"), () => this.#train());
    });
  }

  offer(trainers) {
    const epochs = trainers?.fundus?.config?.max_epochs;
    if (typeof epochs === "number") byId("epochs").value = epochs;
    byId("train").disabled = !trainers?.fundus;
  }

  async load() {
    this.#show(await api.versions());
  }

  #show({ current, versions }) {
    const isNew = this.current !== null && this.current !== current;
    this.current = current;
    setText("current-version", current || "–");
    const rows = [...versions].reverse().map((one) => this.#row(one, one.name === current));
    byId("version-table").tBodies[0].replaceChildren(...rows);
    if (isNew) this.changed(current);
  }

  #row(one, isCurrent) {
    const row = element("tr", isCurrent ? "current" : "");
    if (isCurrent) row.setAttribute("aria-current", "true");
    const head = element("th", "", one.name);
    head.scope = "row";
    const kind = KINDS[one.kind] || one.kind;
    const origin = [kind, one.parent && `from ${one.parent}`].filter(Boolean).join(" ");
    const dice = [one.dice_before, one.dice_after].some((value) => typeof value === "number")
      ? `${percent(one.dice_before)} → ${percent(one.dice_after)}`
      : "–";
    const cells = [date(one.created), origin || "–", String(one.images ?? "–"), dice, one.note || ""];
    row.append(head, ...cells.map((text) => element("td", "", text)), this.#use(one, isCurrent));
    return row;
  }

  #use(one, isCurrent) {
    const cell = element("td");
    if (isCurrent) {
      cell.append(element("span", "badge accepted", "in use"));
      return cell;
    }
    const button = element("button", "quiet", "Use this version");
    button.type = "button";
    button.setAttribute("aria-label", `Use version ${one.name}`);
    const use = async () => this.#show(await api.useVersion(one.name));
    button.addEventListener("click", () => attempt(button, use));
    cell.append(button);
    return cell;
  }

  async #train() {
    const epochs = byId("epochs");
    await api.train(epochs.valueAsNumber);
    this.#wasRunning = true;
    setText("train-status", WORDS.PENDING);
    await this.watch();
  }

  /* Show the training's status, and again while it runs. */
  async watch() {
    clearTimeout(this.#timer);
    let task;
    try {
      task = await api.training();
    } catch (error) {
      if (error.status !== 0) return showError(error, () => this.watch());
      setText("train-status", "The server cannot be reached; asking again …");
      return this.#later();
    }
    this.#showTask(task);
    const runs = ["RUNNING", "PENDING"].includes(task?.status);
    if (runs) this.#later();
    else if (this.#wasRunning) await this.load();
    this.#wasRunning = runs;
    return undefined;
  }

  #later() {
    this.#timer = setTimeout(() => this.watch().catch(showError), ASK_EVERY);
  }

  #showTask(task) {
    const word = task ? WORDS[task.status] || `Training: ${task.status}` : "No training yet.";
    if (byId("train-status").textContent !== word) setText("train-status", word);
    byId("train").disabled = ["RUNNING", "PENDING"].includes(task?.status);
    const lines = (task?.details || []).slice(-LINES);
    byId("train-log").hidden = !lines.length;
    byId("train-log").querySelector("pre").textContent = lines.join("\n");
  }
}

/* Dice as the server gives it: a share of 1. */
const percent = (value) => (typeof value === "number" ? `${number(100 * value, 1)} %` : "–");

function date(value) {
  const made = new Date(typeof value === "number" ? value * 1000 : value);
  return Number.isNaN(made.getTime()) ? "–" : made.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
