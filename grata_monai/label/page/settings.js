// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* How to segment: method, life cycle, beta and model, offered by the server. */

import { byId, fillSelect, memory } from "./dom.js";

const TITLES = {
  fundus: "a whole photograph", fundus_roi: "a region around the disc",
  episodic: "episodic (each afresh)", online: "online (carries on)", off: "off (no adaptation)",
};

export class Settings {
  #models = {};

  constructor() {
    for (const id of ["method", "life-cycle", "beta", "model"]) {
      byId(id).addEventListener("change", () => this.#changed(id));
    }
  }

  /* Offer what the server's /info/ says. */
  offer(models) {
    const kept = memory.get("settings") || {};
    const fits = Object.entries(models).filter(([, model]) => model.config?.method);
    this.#models = Object.fromEntries(fits);
    fillSelect(byId("model"), Object.keys(this.#models), kept.model, TITLES);
    this.#offerModel(kept);
    if (typeof kept.beta === "string") byId("beta").value = kept.beta;
    this.#follow();
  }

  #offerModel(kept) {
    const config = this.#models[byId("model").value]?.config;
    if (!config) return;
    fillSelect(byId("method"), [config.method].flat(), kept.method);
    fillSelect(byId("life-cycle"), [config.life_cycle].flat(), kept.lifeCycle, TITLES);
    const isSet = typeof config.beta === "number";
    byId("beta").placeholder = isSet ? `${config.beta} (the server's)` : "of the method";
  }

  #changed(id) {
    const now = {
      model: byId("model").value, method: byId("method").value,
      lifeCycle: byId("life-cycle").value, beta: byId("beta").value,
    };
    memory.set("settings", now);
    if (id === "model") this.#offerModel(now);
    this.#follow();
  }

  /* Without adaptation there is no method and no learning rate to choose. */
  #follow() {
    for (const id of ["method", "beta"]) byId(id).disabled = this.isOff;
  }

  get isOff() {
    return byId("life-cycle").value === "off";
  }

  get model() {
    return byId("model").value;
  }

  /* The parameters of a request. */
  get params() {
    const beta = byId("beta").valueAsNumber;
    return {
      method: byId("method").value,
      life_cycle: byId("life-cycle").value,
      beta: Number.isFinite(beta) ? beta : null,
    };
  }
}
