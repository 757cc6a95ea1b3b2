// Small parts that all pages are made of.
export const at = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const number = (value) => (value === null || value === undefined ? "unknown" : String(Math.round(value * 100) / 100));
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
export const words = (name) => name.replaceAll("_", " ");
export const label = (each) => (each.namespace ? `${each.namespace}/${each.name}` : each.name);
export const time = (unix) => new Date(unix * 1000).toLocaleTimeString();
export const counted = (counts) => Object.entries(counts).map(([kind, many]) => `${many} ${words(kind)}`).join(", ");

export function table(heads, lines, empty) {
  // Roles are named, since on a phone each row is a block, and a block is no row to a screen reader.
  const cell = (content, place) => h(place ? "td" : "th", place ? { role: "cell", "data-head": heads[place] }
    : { role: "rowheader", scope: "row" }, content);
  const rows = lines.length ? lines.map((line) => h("tr", { role: "row" }, ...line.map(cell)))
    : [h("tr", { role: "row" }, h("td", { role: "cell", colspan: heads.length }, empty))];
  return h("table", { role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads.map((head) => h("th", { role: "columnheader", scope: "col" }, head)))),
    h("tbody", { role: "rowgroup" }, ...rows));
}

export function open(title, ...body) {
  at("detail-title").textContent = title;
  at("detail-body").replaceChildren(...body);
  if (!at("detail").open) at("detail").showModal();
}

// One Tab stop for many things; arrows, Home and End go from one to the next.
export function walk(list, event) {
  const all = [...list.querySelectorAll("button")].filter((each) => !each.parentElement.hidden);
  const here = all.indexOf(document.activeElement);
  const steps = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 };
  const next = all[steps[event.key]];
  if (here < 0 || !next) return;
  event.preventDefault();
  all[here].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
