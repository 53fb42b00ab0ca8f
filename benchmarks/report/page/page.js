import DataTable from "datatables";

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", paint);
paint();

// A message of the library belongs in the console, not in a box over the page.
DataTable.ext.errMode = (_, __, message) => console.error(message);
function enhance(table) {
  const long = table.classList.contains("long");
  const columns = [...table.tHead.rows[0].cells].map((cell) => ({
    columnControl: long ? [[cell.classList.contains("number") ? "search" : "searchList"]] : [],
  }));
  new DataTable(table, {
    columns,
    autoWidth: false,
    order: [],
    paging: table.tBodies[0].rows.length > 50,
    pageLength: 25,
    lengthMenu: [25, 100, { label: "all", value: -1 }],
    layout: long
      ? { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" }
      : { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
  });
}

// An element with texts and elements in it: nothing of a row is ever parsed as HTML.
function make(name, attributes, ...inside) {
  const element = name === "svg" || name === "polyline"
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

function grid(head, rows) {
  const line = (cells, name) => make("tr", {}, ...cells.map((text) => make(name, {}, text)));
  return make("div", { class: "wide" }, make("table", {},
    ...(head.length ? [make("thead", {}, line(head, "th"))] : []),
    make("tbody", {}, ...rows.map((cells) => line(cells, "td")))));
}

let known;
const data = () => (known ??= JSON.parse(document.getElementById("details").textContent));

function curve(run) {
  const { width, height } = data();
  const drawn = Object.entries(run.curve.lines).map(([name, line]) => make("figure", { class: "curve" },
    make("svg", { viewBox: `-4 -4 ${width + 8} ${height + 8}`, role: "img", "aria-label": `${name} by step` },
      make("polyline", { points: line.points })),
    make("figcaption", {}, `validation ${name} by step: ${line.from} to ${line.to}`)));
  return [make("h3", {}, "Curve"), make("div", { class: "curves" }, ...drawn),
    grid(run.curve.names, run.curve.rows)];
}

function about(run, open) {
  const box = make("details", open ? { open: "" } : {}, make("summary", {}, `${run.title}: ${run.status}`));
  const fill = () => box.append(
    ...curve(run),
    make("div", { class: "sections" },
      ...run.sections.map(([name, pairs]) => make("section", {}, make("h3", {}, name), grid([], pairs)))));
  if (open) fill();
  else box.addEventListener("toggle", fill, { once: true });
  return box;
}

// The runs that an address of this page names: #run-ID, or #runs?model=..&task=..&method=..&chosen=yes.
function named() {
  const { runs } = data();
  const hash = location.hash;
  if (hash.startsWith("#run-")) return [runs[decodeURIComponent(hash.slice(5))]].filter(Boolean);
  const asked = new URLSearchParams(hash.slice("#runs?".length));
  return Object.values(runs).filter((run) =>
    [...asked.keys()].every((key) => asked.getAll(key).includes(run[key])));
}

const dialog = document.getElementById("detail");
function show() {
  if (!/^#run(-|s\?)/.test(location.hash)) return;
  const found = named();
  const count = found.length === 1 ? "1 run" : `${found.length || "No"} runs`;
  document.getElementById("detail-title").textContent = count;
  dialog.lastElementChild.replaceChildren(...found.map((run) => about(run, found.length === 1)));
  if (!dialog.open) dialog.showModal();
}
dialog.addEventListener("close", () => history.replaceState(null, "", "#"));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
addEventListener("hashchange", show);
show();

// One table at a time, so that the page answers between two of them.
for (const table of document.querySelectorAll("table.data")) {
  enhance(table);
  await new Promise((next) => setTimeout(next));
}
document.documentElement.dataset.ready = "";
