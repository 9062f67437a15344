// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* The list of studies: state, score, order, filter, arrow keys. */

import * as api from "./api.js";
import { byId, element, number, setText } from "./dom.js";

const names = new Intl.Collator("en", { numeric: true });

/* What the page keeps of an entry of the datastore. */
function study(id, entry) {
  const info = entry.image?.info || {};
  const sentBack = info.review?.decision === "sent_back";
  return {
    id,
    state: entry.labels?.final ? "accepted" : sentBack ? "sent back" : "new",
    note: sentBack ? info.review.note || "" : "",
    uncertainty: info.uncertainty || {},
  };
}

function score(one) {
  const value = one.uncertainty.score;
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export const badgeClass = (state) => `badge ${state.replace(" ", "-")}`;

export function scoreText(one) {
  if (one.uncertainty.error) return `Not scored: ${one.uncertainty.error}`;
  if (score(one) === null) return "";
  const parts = ["entropy", "disagreement", "misalignment"]
    .filter((key) => typeof one.uncertainty[key] === "number")
    .map((key) => `${key} ${number(one.uncertainty[key], 2)}`);
  const total = `Uncertainty ${number(score(one), 2)}`;
  return parts.length ? `${total} (${parts.join(", ")})` : total;
}

export class StudyList {
  #all = new Map();
  #shown = [];
  #active = null; // where the arrow keys are
  #open = null;

  constructor(openStudy) {
    this.openStudy = openStudy;
    this.list = byId("list");
    byId("filter").addEventListener("input", () => this.draw());
    byId("state").addEventListener("change", () => this.draw());
    byId("hardest").addEventListener("change", () => this.draw());
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.openStudy(row.dataset.id);
    });
    this.list.addEventListener("focus", () => this.#activate(this.#active ?? this.#shown[0]));
  }

  get(id) {
    return this.#all.get(id);
  }

  async load() {
    const objects = await api.studies();
    this.#all = new Map(Object.entries(objects).map(([id, entry]) => [id, study(id, entry)]));
    this.draw();
  }

  /* Mark the study that is open. */
  mark(id) {
    this.#open = id;
    this.#active = id;
    this.draw();
    this.#row(id)?.scrollIntoView({ block: "nearest" });
  }

  draw() {
    const found = this.#found();
    this.#shown = found.map((one) => one.id);
    this.list.replaceChildren(...found.map((one, index) => this.#option(one, index)));
    if (!found.length) this.list.append(this.#nothing());
    const all = this.#all.size;
    setText("count", found.length === all ? `${all}` : `${found.length} of ${all}`);
    this.#activate(this.#shown.includes(this.#active) ? this.#active : null);
  }

  #found() {
    const wanted = byId("filter").value.trim().toLowerCase();
    const state = byId("state").value;
    const found = [...this.#all.values()].filter(
      (one) => one.id.toLowerCase().includes(wanted) && (!state || one.state === state),
    );
    const byName = (a, b) => names.compare(a.id, b.id);
    const rank = (one) => score(one) ?? -Infinity;
    const byScore = (a, b) => (rank(a) === rank(b) ? byName(a, b) : rank(b) - rank(a));
    return found.sort(byId("hardest").checked ? byScore : byName);
  }

  #option(one, index) {
    const row = element("li");
    row.id = `study-${index}`;
    row.dataset.id = one.id;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(one.id === this.#open));
    const value = element("span", "score", score(one) === null ? "" : number(score(one), 2));
    value.title = scoreText(one);
    if (one.uncertainty.error) value.textContent = "not scored";
    row.append(element("span", "name", one.id), value, element("span", badgeClass(one.state), one.state));
    return row;
  }

  #nothing() {
    const text = this.#all.size ? "No study fits the filter." : "There are no studies yet.";
    const row = element("li", "soft", text);
    row.setAttribute("role", "presentation");
    return row;
  }

  #row(id) {
    const index = this.#shown.indexOf(id);
    return index < 0 ? null : this.list.children[index];
  }

  #activate(id) {
    this.#row(this.#active)?.classList.remove("active");
    if (id !== null && id !== undefined) this.#active = id;
    const row = this.#row(id);
    if (!row) return this.list.removeAttribute("aria-activedescendant");
    row.classList.add("active");
    return this.list.setAttribute("aria-activedescendant", row.id);
  }

  #key(event) {
    const now = this.#shown.indexOf(this.#active);
    const last = this.#shown.length - 1;
    const target = {
      ArrowDown: Math.min(now + 1, last), ArrowUp: Math.max(now - 1, 0), Home: 0, End: last,
    }[event.key];
    if (target !== undefined && last >= 0) {
      this.#activate(this.#shown[target]);
      this.#row(this.#active).scrollIntoView({ block: "nearest" });
    } else if (["Enter", " "].includes(event.key) && now >= 0) {
      this.openStudy(this.#active);
    } else return;
    event.preventDefault();
  }
}
