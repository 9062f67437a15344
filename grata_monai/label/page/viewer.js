// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* The photograph with contours, once without adaptation and once adapted, under one slider.

   Each side is an SVG whose units are the photograph's own pixels: contours stay sharp at any
   size, and a zoom is a change of the view box. */

import { byId, setText } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SIDES = ["source", "adapted"];
const KINDS = { "optic disc": "disc", "optic cup": "cup" };
const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -20, PageUp: 20 };

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/* The path of closed contours; Number() keeps anything else out. */
function pathData(contours) {
  return contours
    .filter((points) => points.length)
    .map((points) => `M${points.map(([x, y]) => `${Number(x)} ${Number(y)}`).join("L")}Z`)
    .join("");
}

/* [class, path] of all that MONAI Label's "annotations" hold. */
function outlines(annotations) {
  return (annotations || [])
    .flatMap((one) => one.annotations || [])
    .filter((one) => Object.hasOwn(KINDS, one.label))
    .map((one) => [KINDS[one.label], pathData(one.contours || [])]);
}

export class Viewer {
  #size = null;
  #region = null;
  #url = null;
  #zoom = "disc";

  constructor() {
    this.slider = byId("slider");
    this.slider.addEventListener("slide", () => this.#announce());
    this.slider.addEventListener("keydown", (event) => this.#key(event));
    byId("zoom-disc").addEventListener("click", () => this.zoom("disc"));
    byId("zoom-whole").addEventListener("click", () => this.zoom("whole"));
    byId("contours").addEventListener("click", () => this.#toggleContours());
    this.#announce();
  }

  get isZoomed() {
    return this.#zoom === "disc" && this.#region !== null;
  }

  /* Remove everything. */
  clear() {
    if (this.#url) URL.revokeObjectURL(this.#url);
    [this.#size, this.#region, this.#url] = [null, null, null];
    for (const side of SIDES) byId(`${side}-side`).replaceChildren();
    byId("picture").classList.add("empty");
  }

  /* Show a photograph of a native size, without contours. */
  photograph({ blob, width, height }) {
    this.clear();
    this.#size = { width, height };
    this.#url = URL.createObjectURL(blob);
    for (const side of SIDES) {
      const place = { href: this.#url, x: 0, y: 0, width, height, preserveAspectRatio: "none" };
      byId(`${side}-side`).append(svg("image", place), svg("g", {}));
    }
    byId("picture").classList.remove("empty");
    this.#draw();
  }

  /* Put a sharper copy in the photograph's place, once it is decoded. */
  async sharpen(blob) {
    const [before, url] = [this.#url, URL.createObjectURL(blob)];
    const copy = new Image();
    copy.src = url;
    try {
      await copy.decode();
    } catch {
      return URL.revokeObjectURL(url);
    }
    if (this.#url !== before) return URL.revokeObjectURL(url); // another study is open
    for (const image of this.slider.querySelectorAll("image")) image.setAttribute("href", url);
    this.#url = url;
    return URL.revokeObjectURL(before);
  }

  /* Draw the contours of one side; null for none. */
  contours(side, annotations) {
    const group = byId(`${side}-side`).querySelector("g");
    const paths = outlines(annotations).flatMap(([kind, d]) => [
      svg("path", { class: "halo", d }), svg("path", { class: kind, d }),
    ]);
    group?.replaceChildren(...paths);
  }

  /* Say where the disc is: {top, left, height, width}, or null. */
  region(box) {
    this.#region = box && box.width > 0 && box.height > 0 ? box : null;
    this.#draw();
  }

  zoom(which) {
    this.#zoom = which;
    this.#draw();
  }

  #draw() {
    byId("zoom-disc").setAttribute("aria-pressed", String(this.#zoom === "disc"));
    byId("zoom-whole").setAttribute("aria-pressed", String(this.#zoom === "whole"));
    if (!this.#size) return;
    const whole = { left: 0, top: 0, ...this.#size };
    const box = this.isZoomed ? this.#region : whole;
    for (const side of SIDES) {
      const view = `${box.left} ${box.top} ${box.width} ${box.height}`;
      byId(`${side}-side`).setAttribute("viewBox", view);
    }
  }

  #toggleContours() {
    const hidden = byId("picture").classList.toggle("no-contours");
    byId("contours").setAttribute("aria-pressed", String(!hidden));
  }

  /* The component's own keys animate while held: no steps, and deaf to a short press. */
  #key(event) {
    const step = STEPS[event.key];
    if (step !== undefined) this.slider.value = this.slider.value + step;
    else if (event.key === "Home") this.slider.value = 0;
    else if (event.key === "End") this.slider.value = 100;
    else return;
    event.preventDefault();
    this.#announce();
  }

  #announce() {
    const share = Math.round(this.slider.value);
    this.slider.setAttribute("aria-valuenow", String(share));
    const text = `${share} % without adaptation, ${100 - share} % adapted`;
    this.slider.setAttribute("aria-valuetext", text);
  }
}

/* What the right side of the slider shows. */
export function nameAdaptedSide(text) {
  setText("right-side", `${text} ▸`);
}
