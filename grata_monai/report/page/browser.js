"use strict";
/* Thumbnails in the order of how well a method did, and a view of all methods on one image. */

const SVG = "http://www.w3.org/2000/svg";
const BATCH = 60;
const [IMAGE, STREAM, METHOD, DISC, CUP, RATIO, DISC_PATH, CUP_PATH, POSITION, ERROR] = Array(10).keys();

const browser = {
  items: [], shown: [], visible: BATCH, current: -1, chosen: {},
  methods: new Set(report.methods), opener: null,
};

/* An item is one image in one stream (source, protocol, seed) with the results of all methods. */
function collectItems() {
  const items = new Map();
  for (const result of report.results) {
    const key = `${result[IMAGE]}|${result[STREAM]}`;
    if (!items.has(key)) {
      const image = report.images[result[IMAGE]];
      items.set(key, { image, stream: report.streams[result[STREAM]], results: new Map() });
    }
    items.get(key).results.set(result[METHOD], result);
  }
  return [...items.values()];
}

function dice(result) {
  if (!result || result[DISC] === null || result[CUP] === null) return null;
  return (result[DISC] + result[CUP]) / 2;
}

function change(item, method) {
  if (report.baseline < 0) return null;
  const [now, before] = [dice(item.results.get(method)), dice(item.results.get(report.baseline))];
  return now === null || before === null ? null : now - before;
}

const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

function signed(value) {
  const size = Math.abs(value).toFixed(1);
  return size === "0.0" ? "±0.0" : `${value > 0 ? "+" : "−"}${size}`;
}

function direction(value) {
  const shown = signed(value)[0];
  return { "+": "up", "−": "down" }[shown] || "";
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function svgPath(parent, className, data) {
  if (!data) return;
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("class", className);
  path.setAttribute("d", data);
  parent.append(path);
}

/* A picture with outlines; the text alternative is in the caption beside it. */
function view(image, result) {
  const box = element("span", "view");
  box.style.aspectRatio = `1000 / ${image.height}`;
  if (image.src) {
    const picture = element("img");
    picture.src = image.src;
    picture.alt = "";
    box.append(picture);
  }
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 1000 ${image.height}`);
  svg.setAttribute("aria-hidden", "true");
  if (result) {
    for (const [name, data] of [["disc", result[DISC_PATH]], ["cup", result[CUP_PATH]]]) {
      svgPath(svg, "halo", data);
      svgPath(svg, name, data);
    }
  }
  for (const data of image.truth || []) svgPath(svg, "true", data);
  box.append(svg);
  return box;
}

function changeLabel(value) {
  const label = element("span", `change ${direction(value)}`, signed(value));
  label.title = `Change of mean Dice from ${report.methods[report.baseline]}`;
  return label;
}

function place(item) {
  const { source, protocol, seed } = item.stream;
  const parts = [`${source} → ${item.image.domain}`];
  if (new Set(report.streams.map((s) => s.protocol)).size > 1) parts.push(protocol);
  if (new Set(report.streams.map((s) => s.seed)).size > 1) parts.push(`seed ${seed}`);
  return parts.join(", ");
}

function thumbnail(item, index, focus) {
  const result = item.results.get(focus);
  const button = element("button", "thumb");
  button.type = "button";
  const text = element("span", "text");
  text.append(element("span", "name", item.image.name), element("span", "where", place(item)));
  const score = element("span", "", result && result[ERROR] ? "failed " : `Dice ${number(dice(result), 1)} `);
  text.append(score);
  const difference = change(item, focus);
  if (difference !== null && focus !== report.baseline) text.append(changeLabel(difference));
  button.append(view(item.image, result), text);
  button.title = item.image.name;
  button.addEventListener("click", () => openItem(index, button));
  return button;
}

function fits(item) {
  const has = { ...item.stream, target: item.image.domain };
  return Object.entries(browser.chosen).every(([key, value]) => has[key] === undefined || has[key] === value);
}

function sorted(items, focus, order) {
  const orders = {
    worse: (item) => change(item, focus),
    better: (item) => negative(change(item, focus)),
    low: (item) => dice(item.results.get(focus)),
    high: (item) => negative(dice(item.results.get(focus))),
    stream: (item) => (item.results.get(focus) || [])[POSITION] ?? null,
  };
  const keyed = items.map((item) => [orders[order](item), item]);
  keyed.sort((a, b) => (a[0] === null) - (b[0] === null) || a[0] - b[0]);
  return keyed.map((pair) => pair[1]);
}

const negative = (value) => (value === null ? null : -value);

function focusMethod() {
  return Number(document.getElementById("focus").value);
}

function draw() {
  const focus = focusMethod();
  const order = document.getElementById("order").value;
  const withFocus = browser.items.filter((item) => fits(item) && item.results.has(focus));
  browser.shown = sorted(withFocus, focus, order);
  const some = browser.shown.slice(0, browser.visible);
  const grid = document.getElementById("thumbnails");
  grid.replaceChildren(...some.map((item, index) => thumbnail(item, index, focus)));
  const total = browser.shown.length;
  document.getElementById("shown").textContent = total
    ? `${some.length} of ${total} pictures, outlines of ${report.methods[focus]}. Click one to compare the methods.`
    : "No picture fits the filters.";
  document.getElementById("more").hidden = some.length === total;
}

function caption(item, method) {
  const result = item.results.get(method);
  const text = element("figcaption");
  text.append(element("strong", "", report.methods[method]));
  if (result[ERROR]) {
    text.append(element("span", "error", `failed: ${result[ERROR]}`));
    return text;
  }
  const line = element("span", "", `Dice disc ${number(result[DISC], 1)}, cup ${number(result[CUP], 1)} `);
  const difference = change(item, method);
  if (difference !== null && method !== report.baseline) line.append(changeLabel(difference));
  text.append(line, element("br"), `cup-to-disc ratio ${number(result[RATIO], 2)}`);
  if (result[DISC_PATH] === null) text.append(element("br"), "no prediction was kept");
  return text;
}

function compare() {
  const item = browser.shown[browser.current];
  const truth = item.image.vcdr === null ? "" : ` True cup-to-disc ratio ${number(item.image.vcdr, 2)}.`;
  document.getElementById("compare-title").textContent = `${item.image.name} (${place(item)})`;
  document.getElementById("compare-note").textContent =
    `${browser.current + 1} of ${browser.shown.length}.${truth} Dashed: ground truth. Left and right arrows: other images.`;
  const figures = [];
  for (const [method, name] of report.methods.entries()) {
    if (!item.results.has(method) || !browser.methods.has(name)) continue;
    const figure = element("figure", method === focusMethod() ? "focus" : "");
    figure.dataset.method = name;
    figure.append(view(item.image, item.results.get(method)), caption(item, method));
    figures.push(figure);
  }
  document.getElementById("compare-grid").replaceChildren(...figures);
}

function openItem(index, opener) {
  browser.current = index;
  browser.opener = opener;
  compare();
  document.getElementById("compare").showModal();
}

function step(by) {
  const count = browser.shown.length;
  browser.current = (browser.current + by + count) % count;
  compare();
}

function showTruth(on) {
  document.body.classList.toggle("hide-truth", !on);
  document.getElementById("truth").checked = on;
  document.getElementById("compare-truth").checked = on;
}

function start() {
  browser.items = collectItems();
  const again = () => { browser.visible = BATCH; draw(); };
  document.getElementById("focus").addEventListener("change", again);
  document.getElementById("order").addEventListener("change", again);
  document.getElementById("browse").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("more").addEventListener("click", () => { browser.visible += BATCH; draw(); });
  for (const id of ["truth", "compare-truth"]) {
    document.getElementById(id).addEventListener("change", (event) => showTruth(event.target.checked));
  }
  const dialog = document.getElementById("compare");
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => browser.opener?.focus());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  filters.listeners.push((chosen, methods) => {
    browser.chosen = chosen;
    browser.methods = methods;
    again();
  });
  draw();
}

if (document.getElementById("browse")) start();
