"use strict";
/* Filters for the whole page and tables that can be sorted. */

const report = JSON.parse(document.getElementById("data").textContent);

const filters = {
  form: document.getElementById("filters"),
  listeners: [],
  values() {
    const chosen = {};
    for (const select of this.form.querySelectorAll("select[data-key]")) {
      if (select.value) chosen[select.dataset.key] = select.value;
    }
    return chosen;
  },
  methods() {
    const boxes = this.form.querySelectorAll(".choices input");
    return new Set([...boxes].filter((box) => box.checked).map((box) => box.value));
  },
  changed() {
    const methods = this.methods();
    const all = this.form.querySelectorAll(".choices input").length;
    document.getElementById("method-count").textContent = `${methods.size} of ${all}`;
    for (const listener of this.listeners) listener(this.values(), methods);
  },
};

filters.form.addEventListener("change", () => filters.changed());
filters.form.addEventListener("submit", (event) => event.preventDefault());
filters.form.addEventListener("reset", () => setTimeout(() => filters.changed()));
for (const button of filters.form.querySelectorAll("button[data-all]")) {
  button.addEventListener("click", () => {
    for (const box of filters.form.querySelectorAll(".choices input")) {
      box.checked = Boolean(button.dataset.all);
    }
    filters.changed();
  });
}
document.addEventListener("click", (event) => {
  const open = document.getElementById("methods");
  if (open.open && !open.contains(event.target)) open.open = false;
});
document.getElementById("methods").addEventListener("keydown", (event) => {
  if (event.key === "Escape") event.currentTarget.open = false;
});

function rowFits(row, chosen, methods) {
  if ("method" in row.dataset && !methods.has(row.dataset.method)) return false;
  return Object.entries(chosen).every(
    ([key, value]) => !(key in row.dataset) || row.dataset[key] === value,
  );
}

filters.listeners.push((chosen, methods) => {
  for (const table of document.querySelectorAll("table.sortable")) {
    let visible = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !rowFits(row, chosen, methods);
      visible += !row.hidden;
    }
    table.closest(".block").querySelector(".none").hidden = visible > 0;
  }
});

/* Numbers by size, names by the alphabet; fields without a value are last in both directions. */
function compareCells(first, second, direction) {
  if (first === "" || second === "") return (first === "") - (second === "");
  const [a, b] = [Number(first), Number(second)];
  if (Number.isNaN(a) || Number.isNaN(b)) {
    return direction * first.localeCompare(second, undefined, { numeric: true });
  }
  return direction * (a - b);
}

function sortTable(table, index) {
  const heads = [...table.tHead.rows[0].cells];
  const now = heads[index].getAttribute("aria-sort");
  const first = heads[index].classList.contains("number") ? "descending" : "ascending";
  const opposite = { ascending: "descending", descending: "ascending" };
  const order = now ? opposite[now] : first;
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[index].setAttribute("aria-sort", order);
  const direction = order === "ascending" ? 1 : -1;
  const value = (row) => row.cells[index].dataset.value;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compareCells(value(a), value(b), direction));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => sortTable(table, index));
  });
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme || (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
});
