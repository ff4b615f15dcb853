"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const pick = (selector, of = document) => of.querySelector(selector);
const all = (selector, of = document) => [...of.querySelectorAll(selector)];
const percent = (value) => value === null ? null : value / 100;
const made = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

// Texts of plotly know a few tags and entities: names are text, and keep their direction to themselves.
const plain = (text) => "\u2068" + text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") + "\u2069";
const folded = (text, width = 40) => {
  const signs = [...text];
  const lines = [];
  while (signs.length && lines.length < 4) lines.push(plain(signs.splice(0, width).join("")));
  return lines.join("<br>") + (signs.length ? "…" : "");
};

// Colours: the system's, or those that were chosen.
const system = matchMedia("(prefers-color-scheme: dark)");
let printing = false;
const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
const PRINTED = { back: "#fff", text: "#000", faint: "#333", grid: "#ddd", iso: "#888" };
const color = (name) => printing ? PRINTED[name] : getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const CHOICES = ["", "light", "dark"];
const button = document.getElementById("theme");
const stored = () => { try { return localStorage.getItem("fomo-theme") || ""; } catch { return ""; } };
const setTheme = (choice) => {
  if (choice) root.dataset.theme = choice; else delete root.dataset.theme;
  button.textContent = `Colours: ${choice || "auto"}`;
  try { localStorage.setItem("fomo-theme", choice); } catch { /* a file has no place to keep it */ }
};
setTheme(CHOICES.includes(stored()) ? stored() : "");
button.addEventListener("click", () => {
  setTheme(CHOICES[(CHOICES.indexOf(root.dataset.theme || "") + 1) % CHOICES.length]);
  redraw();
});
system.addEventListener("change", () => redraw());
addEventListener("beforeprint", () => { printing = true; redraw(); });
addEventListener("afterprint", () => { printing = false; redraw(); });

const layout = (more) => {
  const axis = { gridcolor: color("grid"), zerolinecolor: color("grid"), linecolor: color("iso"), automargin: true };
  const { xaxis = {}, yaxis = {}, ...others } = more;
  return {
    paper_bgcolor: color("back"), plot_bgcolor: color("back"), font: { color: color("text"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 48, r: 12, t: 12, b: 44 }, hovermode: "closest", hoverlabel: { align: "left" },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...others,
  };
};
const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
const draw = (place, traces, more) => Plotly.react(place, traces, layout(more), CONFIG);

// A section of the page: its table and its plane.
class Section {
  constructor(element, entries) {
    this.element = element;
    this.entries = entries;
    this.rows = all("tbody tr", pick("table", element));
    this.plane = pick(".plane", element);
    this.column = "rank";
    this.up = true;
    this.labels = this.rows.map((row) => pick("th", row).textContent);
    for (const row of this.rows) this.wire(row);
    for (const head of all("thead th", element)) this.wireHead(head);
    pick("figure", element).hidden = false;
    new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && this.draw()).observe(this.plane);
  }

  wire(row) {
    const number = Number(row.dataset.entry);
    const opener = made("button", "", { type: "button", "aria-haspopup": "dialog" });
    opener.append(pick("bdi", row));
    pick("th", row).append(opener);
    row.addEventListener("click", () => { if (!String(getSelection())) open(this, number); });
  }

  wireHead(head) {
    const sorter = made("button", "", { type: "button" });
    sorter.append(...head.childNodes);
    head.append(sorter);
    sorter.addEventListener("click", () => this.sort(head));
  }

  sort(head) {
    const column = head.dataset.column;
    const best = /^\d|front/.test(column); // numbers from the best one down
    this.up = column === this.column ? !this.up : !best;
    this.column = column;
    for (const other of all("thead th", this.element)) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", this.up ? "ascending" : "descending");
    const keyed = this.rows.map((row) => [this.key(Number(row.dataset.entry), row), row]);
    const sign = this.up ? 1 : -1;
    keyed.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null); // what is not there comes last
      return sign * (typeof one === "string" ? one.localeCompare(other, "en", { numeric: true }) : one - other);
    });
    pick("tbody", this.element).append(...keyed.map(([, row]) => row));
  }

  key(number, row) {
    const entry = this.entries[number];
    if (this.column === "label") return this.labels[number];
    if (this.column === "family") return entry.kinds[3];
    if (this.column === "seeds") return entry.runs.length;
    return this.column in entry ? entry[this.column] : entry.means[Number(this.column)];
  }

  filter(keep) {
    this.kept = this.entries.map((entry, number) => keep(entry, this.labels[number]));
    for (const row of this.rows) row.hidden = !this.kept[Number(row.dataset.entry)];
    this.element.hidden = !this.kept.includes(true);
    if (this.drawn && !this.element.hidden) this.draw();
  }

  draw() {
    const kept = this.entries.flatMap((entry, number) => this.kept && !this.kept[number] ? [] : [[entry, number]]);
    if (!kept.length) return;
    const [x, y] = [0, 1].map((axis) => range(kept.map(([entry]) => entry), axis));
    const families = Object.values(data.families);
    const traces = [...levels(x, y, this.plane.clientWidth > 560), front(kept), ...families.map((each) => this.points(kept, each))].filter(Boolean);
    draw(this.plane, traces, {
      xaxis: { title: { text: "KA [%]: what was learned" }, range: x },
      yaxis: { title: { text: "ZS [%]: what was kept" }, range: y },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
      margin: { l: 48, r: 12, t: 12, b: 90 },
    });
    if (!this.drawn) this.plane.on("plotly_click", ({ points }) => points[0].customdata !== undefined && open(this, points[0].customdata));
    this.drawn = true;
  }

  points(kept, family) {
    const own = kept.filter(([entry]) => entry.kinds[3] === family.name);
    if (!own.length) return null;
    const at = (axis) => own.map(([entry]) => percent(entry.means[axis]));
    const bar = (axis) => ({ type: "data", array: own.map(([entry]) => percent(entry.halves[axis]) || 0), thickness: 1, width: 3, color: `${tint(family)}99` });
    return {
      x: at(0), y: at(1), error_x: bar(0), error_y: bar(1), name: family.name, mode: "markers+text", cliponaxis: false,
      marker: { color: tint(family), symbol: family.symbol, size: 9 }, customdata: own.map(([, number]) => number),
      text: own.map(([entry]) => kept.length <= 30 || (entry.front && kept.length <= 200) ? String(entry.rank) : ""),
      textposition: own.map(([entry]) => entry.rank % 2 ? "top right" : "bottom right"), textfont: { size: 11, color: color("text") },
      hovertext: own.map(([entry, number]) => this.told(entry, number)), hoverinfo: "text",
    };
  }

  told(entry, number) {
    const shown = (axis) => `${percent(entry.means[axis]).toFixed(1)}` + (entry.halves[axis] === null ? "" : ` ± ${percent(entry.halves[axis]).toFixed(1)}`);
    return `${entry.rank}. ${folded(this.labels[number])}<br>KA ${shown(0)}, ZS ${shown(1)}, GM ${shown(2)}`;
  }
}

const tint = (family) => isDark() ? family.on_dark : family.color;

// From the least to the largest end of an interval, with some room, within 0 and 100.
const range = (entries, axis) => {
  const low = Math.min(...entries.map((each) => percent(each.means[axis] - (each.halves[axis] || 0))));
  const high = Math.max(...entries.map((each) => percent(each.means[axis] + (each.halves[axis] || 0))));
  const room = Math.max(0.08 * (high - low), 1);
  return [Math.max(low - room, -1), Math.min(high + room, 101)];
};

// Where the geometric mean is 5, 10, …: as many as fit.
const levels = ([left, right], [bottom, top], told) => {
  const highest = Math.sqrt(right * top);
  const lowest = Math.sqrt(Math.max(left, 0) * Math.max(bottom, 0));
  const step = [1, 2, 5, 10, 20].find((each) => (highest - lowest) / each < 8) || 20;
  const found = [];
  for (let gm = step * Math.ceil(Math.max(lowest, 1) / step); gm <= highest; gm += step) {
    const x = Array.from({ length: 60 }, (_, k) => Math.max(left, 0.1) + (right - Math.max(left, 0.1)) * k / 59).filter((ka) => gm * gm / ka <= top && gm * gm / ka >= bottom);
    const last = told && x.length && x[x.length - 1] > left + 0.1 * (right - left) ? x.length - 1 : -1;
    const text = x.map((_, k) => k === last ? `GM ${gm}` : "");
    if (x.length > 3) found.push({ x, y: x.map((ka) => gm * gm / ka), mode: "lines+text", line: { color: color("grid"), width: 1 }, text, textposition: "top left", textfont: { size: 10, color: color("faint") }, hoverinfo: "skip", showlegend: false });
  }
  return found;
};

const front = (kept) => {
  const ends = kept.map(([entry]) => entry).filter((entry) => entry.front).sort((one, other) => one.means[0] - other.means[0]);
  return ends.length < 2 ? null : { x: ends.map((each) => percent(each.means[0])), y: ends.map((each) => percent(each.means[1])), mode: "lines", line: { color: color("iso"), dash: "dot", width: 1.5 }, hoverinfo: "skip", showlegend: false };
};

const sections = all("[data-section]").map((element) => new Section(element, data.sections[Number(element.dataset.section)].entries));

// Filters.
const form = document.getElementById("filters");
const chosen = all("select", form);
const words = document.getElementById("words");
const only = document.getElementById("front");
const status = document.getElementById("shown");
const numEntries = sections.reduce((sum, each) => sum + each.entries.length, 0);
const apply = () => {
  const sought = words.value.trim().toLowerCase();
  const wanted = chosen.map((each, kind) => each.value && Object.values(data.filters)[kind][Number(each.value)]);
  for (const section of sections) {
    section.filter((entry, label) => wanted.every((value, kind) => !value || entry.kinds[kind] === value) && (!only.checked || entry.front) && label.toLowerCase().includes(sought));
  }
  const num = sections.reduce((sum, each) => sum + each.kept.filter(Boolean).length, 0);
  status.textContent = num === numEntries ? `All ${num} entries are shown.` : `${num} of ${numEntries} entries are shown.`;
};
form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(apply));

// An entry: what it is of, the curves and the matrix of its runs.
const dialog = document.getElementById("entry");
const which = document.getElementById("which");
let shownEntry = null;
const open = (section, number) => {
  const entry = section.entries[number];
  shownEntry = entry;
  const title = document.getElementById("entry-title");
  title.replaceChildren(`${entry.rank}. `, made("bdi", section.labels[number]));
  const facts = Object.keys(data.filters).map((name, kind) => [name, [entry.kinds[kind]]]);
  const means = ["KA", "ZS", "GM"].map((name, axis) => `${name} ${percent(entry.means[axis]).toFixed(2)}` + (entry.halves[axis] === null ? "" : ` ± ${percent(entry.halves[axis]).toFixed(2)}`));
  facts.push(["result [%]", [means.join(", ")]], ["runs", entry.runs.map(([name, seed]) => `seed ${seed}: ${name}`)]);
  if (entry.marks.length) facts.push(["caveats", entry.marks]);
  document.getElementById("facts").replaceChildren(...facts.flatMap(([name, values]) => {
    const term = made("dd", "");
    for (const value of values) { const line = made("div", ""); line.append(made("bdi", value)); term.append(line); }
    return [made("dt", name), term];
  }));
  const choices = entry.runs.map(([, seed], k) => made("option", `seed ${seed}`, { value: k }));
  which.replaceChildren(...(entry.runs.length > 1 ? [made("option", "mean over seeds", { value: "" })] : []), ...choices);
  document.getElementById("which-field").hidden = entry.runs.length < 2;
  document.getElementById("numbers").open = false;
  dialog.showModal();
  dialog.scrollTop = 0;
  drawEntry();
};
document.getElementById("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
which.addEventListener("input", () => drawEntry());

const mean = (values) => values.includes(null) || values.includes(undefined) || !values.length ? null : values.reduce((sum, each) => sum + each, 0) / values.length;
// A run is its name, seed, where its evaluations lie (hundredths of updates), KA, ZS, matrix, whether of a part of the images.
const [AT, KA, ZS, MATRIX, PART] = [2, 3, 4, 5, 6];
const isUpdate = (at) => at % 100 === 0;
const common = (lists) => lists[0].filter((at) => lists.every((list) => list.includes(at)));

const drawEntry = () => {
  if (!shownEntry || !dialog.open) return;
  const runs = which.value === "" ? shownEntry.runs : [shownEntry.runs[Number(which.value)]];
  document.getElementById("of-part").hidden = !runs.some((run) => run[PART]);
  const places = common(runs.map((run) => run[AT]));
  document.getElementById("within").hidden = places.every(isUpdate);
  const paths = runs.map((run) => places.map((at) => run[AT].indexOf(at)).map((k) => [run[KA][k], run[ZS][k], Math.sqrt(run[KA][k] * run[ZS][k])]));
  const updates = places.filter(isUpdate);
  const rows = runs.map((run) => updates.map((at) => run[MATRIX][run[AT].filter(isUpdate).indexOf(at)]));
  const matrix = updates.map((_, k) => rows[0][k].map((_, j) => mean(rows.map((each) => percent(each[k][j])))));
  drawPath(places, paths);
  drawTasks(updates.map(percent), matrix);
  drawMatrix(updates.map(percent), matrix);
};

const drawPath = (places, paths) => {
  const dark = isDark();
  const x = places.map(percent);
  const sizes = places.map((at) => isUpdate(at) ? 7 : 0);
  const looks = [["KA", dark ? "#fb923c" : "#c2410c", "circle", "solid"], ["ZS", dark ? "#60a5fa" : "#1d4ed8", "square", "solid"], ["GM", color("faint"), "diamond", "dash"]];
  const traces = looks.flatMap(([name, tone, symbol, dash], part) => {
    const y = x.map((_, k) => percent(mean(paths.map((each) => each[k][part]))));
    const single = paths.length < 2 ? [] : paths.map((each) => ({ x, y: each.map((point) => percent(point[part])), mode: "lines", line: { color: tone, width: 1 }, opacity: 0.35, hoverinfo: "skip", showlegend: false }));
    return [...single, { x, y, name, mode: "lines+markers", line: { color: tone, width: 2, dash }, marker: { symbol, size: sizes }, hovertemplate: `${name} %{y:.2f}<extra>after %{x} updates</extra>` }];
  });
  draw(document.getElementById("path"), traces, { xaxis: { title: { text: "update" }, ...ticks(x) }, yaxis: { title: { text: "[%]" } }, margin: { l: 48, r: 12, t: 8, b: 76 } });
};

const ticks = (x) => Math.max(...x) <= 12 ? { dtick: 1 } : {};

const drawTasks = (x, matrix) => {
  const place = document.getElementById("tasks");
  const num = matrix.length ? matrix[0].length : 0;
  const traces = Array.from({ length: num }, (_, j) => {
    const tone = `hsl(${Math.round(265 - 235 * (num > 1 ? j / (num - 1) : 0))} ${isDark() ? "75% 65%" : "75% 38%"})`;
    const y = matrix.map((row) => row[j]);
    const sizes = x.map((t) => t === j + 1 ? 9 : 0);
    return { x, y, name: `task ${j + 1}`, mode: "lines+markers", line: { color: tone, width: 1.5 }, marker: { size: sizes, color: tone }, connectgaps: false, showlegend: num <= 10, hovertemplate: `task ${j + 1}: %{y:.1f}<extra>after %{x} updates</extra>` };
  });
  draw(place, traces, { xaxis: { title: { text: "update" }, ...ticks(x) }, yaxis: { title: { text: "accuracy [%]" } }, margin: { l: 48, r: 12, t: 8, b: num <= 10 ? 100 : 44 } });
};

const drawMatrix = (updates, matrix) => {
  const num = matrix.length ? matrix[0].length : 0;
  const rows = updates.map((t) => t ? `after ${t}` : "before");
  const columns = Array.from({ length: num }, (_, j) => `task ${j + 1}`);
  const numbers = columns.map((_, j) => j + 1);
  const texts = num <= 8 ? { texttemplate: "%{z:.0f}", showscale: false } : {};
  const scale = [[0, color("back")], [1, isDark() ? "#60a5fa" : "#1d4ed8"]];
  const trace = { type: "heatmap", z: matrix, x: numbers, y: rows, colorscale: scale, zmin: 0, zmax: 100, xgap: 1, ygap: 1, colorbar: { thickness: 10, outlinewidth: 0 }, hovertemplate: "task %{x}, %{y}: %{z:.1f}<extra></extra>", ...texts };
  const up = { side: "top", title: { text: "concepts of task" }, showgrid: false, ...ticks(numbers) };
  draw(document.getElementById("matrix"), [trace], { yaxis: { autorange: "reversed", showgrid: false }, xaxis: up, margin: { l: 64, r: 8, t: 56, b: 12 } });
  const table = document.getElementById("matrix-table");
  const head = made("tr", "");
  head.append(made("th", "update", { scope: "col" }), ...columns.map((each) => made("th", each, { scope: "col" })));
  pick("thead", table).replaceChildren(head);
  pick("tbody", table).replaceChildren(...matrix.map((row, t) => {
    const line = made("tr", "");
    line.append(made("th", rows[t], { scope: "row" }), ...row.map((each) => made("td", each === null ? "–" : each.toFixed(1))));
    return line;
  }));
};

const redraw = () => {
  for (const section of sections) if (section.drawn && !section.element.hidden) section.draw();
  drawEntry();
};
for (const each of all(".scripted")) each.hidden = false;
apply();
})();
