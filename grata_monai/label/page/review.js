// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* One study: its photograph, its two results, and what a person decides. */

import * as api from "./api.js";
import { byId, memory, setText } from "./dom.js";
import { attempt, clearError, say, sayBusy, showError } from "./messages.js";
import { drawNumbers } from "./numbers.js";
import { badgeClass, scoreText } from "./studies.js";
import { nameAdaptedSide } from "./viewer.js";

const PREVIEW = 1600; // longest side; enough for the whole photograph on most screens
const SHARPEST = 4096;
const KEPT = 50; // results of so many studies are kept

export class Review {
  #results = new Map();
  #run = null;
  #study = null;
  #notes = memory.get("notes") || {};

  constructor(viewer, settings, versions, reload) {
    Object.assign(this, { viewer, settings, versions, reload });
    byId("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.segment();
    });
    byId("accept").addEventListener("click", () => this.#accept("adapted"));
    byId("accept-source").addEventListener("click", () => this.#accept("source"));
    byId("send-back").addEventListener("click", () => this.#sendBack());
    byId("note").addEventListener("input", () => this.#keepNote(byId("note").value));
    drawNumbers(null, null);
  }

  /* The open study's id. */
  get id() {
    return this.#study?.id ?? null;
  }

  /* Show a study; results from before are shown again, others are asked for. */
  async open(study) {
    this.#study = study;
    const run = this.#begin();
    this.viewer.clear();
    this.describe(study);
    byId("note").value = this.#notes[study.id] || "";
    byId("segment").disabled = false;
    this.#show();
    sayBusy("Loading the photograph …");
    try {
      const photograph = await api.preview(study.id, PREVIEW, run.signal);
      if (run.signal.aborted) return;
      this.viewer.photograph(photograph);
      this.#show();
      const isKnown = this.#results.get(study.id)?.key === this.#key();
      if (isKnown) say("The result from before.");
      else await this.#infer(run);
      await this.#sharpen(photograph, run);
    } catch (error) {
      this.#failed(error, run, () => this.open(study));
    }
  }

  /* Show the study's state and score. */
  describe(study) {
    this.#study = study;
    setText("study-title", study.id);
    setText("study-state", study.state);
    byId("study-state").className = badgeClass(study.state);
    byId("study-state").hidden = false;
    const note = study.note ? `Sent back: “${study.note}”` : "";
    setText("study-score", [scoreText(study), note].filter(Boolean).join(" · "));
  }

  /* Ask for both results of the open study again. */
  async segment() {
    if (!this.#study) return;
    const run = this.#begin();
    try {
      await this.#infer(run);
    } catch (error) {
      this.#failed(error, run, () => this.segment());
    }
  }

  #begin() {
    this.#run?.abort();
    this.#run = new AbortController();
    this.#busy(false);
    clearError();
    return this.#run;
  }

  #failed(error, run, retry) {
    if (run.signal.aborted) return;
    this.#busy(false);
    say("");
    showError(error, retry);
  }

  /* What a result depends on, beside the study. */
  #key() {
    return JSON.stringify([this.settings.model, this.settings.params, this.versions.current]);
  }

  #sourceKey() {
    return JSON.stringify([this.settings.model, this.versions.current]);
  }

  async #infer(run) {
    const { id } = this.#study;
    const { model, params, isOff } = this.settings;
    const [key, sourceKey] = [this.#key(), this.#sourceKey()];
    const before = this.#results.get(id);
    this.#busy(true);
    let source = before?.sourceKey === sourceKey ? before.source : null;
    if (!source || isOff) {
      sayBusy("Segmenting without adaptation …");
      source = await api.infer(model, id, { ...params, life_cycle: "off" }, run.signal);
      this.#keep(id, { key: null, sourceKey, source, adapted: null });
    }
    let adapted = isOff ? source : null;
    if (!isOff) {
      sayBusy(`Adapting by ${params.method} …`);
      adapted = await api.infer(model, id, params, run.signal);
    }
    if (run.signal.aborted) return;
    this.#keep(id, { key, sourceKey, source, adapted });
    this.#busy(false);
    say(isOff ? "Segmented without adaptation." : "Segmented and adapted.");
  }

  #keep(id, results) {
    this.#results.delete(id); // the latest is last
    this.#results.set(id, results);
    if (this.#results.size > KEPT) this.#results.delete(this.#results.keys().next().value);
    if (id === this.id) this.#show();
  }

  #show() {
    const { source, adapted } = this.#results.get(this.id) || {};
    this.viewer.contours("source", source?.params.annotations);
    this.viewer.contours("adapted", adapted?.params.annotations);
    this.viewer.region((adapted || source)?.params.region ?? null);
    const isAdapted = adapted && adapted.params.life_cycle !== "off";
    nameAdaptedSide(isAdapted ? `Adapted (${adapted.params.method})` : adapted ? "Not adapted" : "Adapted");
    drawNumbers(source, adapted);
    this.#allow();
  }

  #busy(isBusy) {
    byId("picture").setAttribute("aria-busy", String(isBusy));
    byId("segment").setAttribute("aria-busy", String(isBusy));
    byId("picture").classList.toggle("busy", isBusy);
  }

  /* Only what is seen can be accepted. */
  #allow() {
    const { source, adapted } = this.#results.get(this.id) || {};
    byId("decision").disabled = !this.id;
    byId("accept").disabled = !adapted;
    byId("accept-source").disabled = !source;
  }

  /* The whole photograph's preview is too coarse for the disc: fetch the pixels of the file. */
  async #sharpen({ width, height }, run) {
    const side = Math.min(Math.max(width, height), SHARPEST);
    if (side <= PREVIEW || run.signal.aborted) return;
    try {
      const { blob } = await api.preview(this.id, side, run.signal);
      if (!run.signal.aborted) await this.viewer.sharpen(blob);
    } catch {
      // The coarse one stays; a person can judge it.
    }
  }

  #accept(which) {
    const { id } = this;
    const result = this.#results.get(id)?.[which];
    const button = byId(which === "adapted" ? "accept" : "accept-source");
    return attempt(button, async () => {
      const { annotations, ...params } = result.params;
      await api.saveLabel(id, result.label, { ...params, accepted: which });
      this.#forgetNote(id);
      say(`Accepted: ${id}`);
      await this.reload();
    });
  }

  #sendBack() {
    const { id } = this;
    const note = byId("note").value.trim();
    return attempt(byId("send-back"), async () => {
      await api.sendBack(id, note);
      this.#forgetNote(id);
      say(`Sent back: ${id}`);
      await this.reload();
    });
  }

  #keepNote(text) {
    this.#notes[this.id] = text;
    memory.set("notes", this.#notes);
  }

  #forgetNote(id) {
    delete this.#notes[id];
    memory.set("notes", this.#notes);
    if (id === this.id) byId("note").value = "";
  }
}
