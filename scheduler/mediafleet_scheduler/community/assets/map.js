// Draws what /view tells. The projection is that of land.svg: cylindrical, equal-area, 37.5 degrees.
const PARALLEL = Math.cos((37.5 * Math.PI) / 180);
const HEIGHT = (2 * 180) / Math.PI / PARALLEL;
const EARTH_MILLION_KM2 = 510.1;
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const sine = (degrees) => Math.sin((degrees * Math.PI) / 180);
let view = null;
let live = null;
let following = true;

const x = (east) => (east + 180) * PARALLEL;
const y = (north) => HEIGHT / 2 - ((sine(north) * 180) / Math.PI) / PARALLEL;
const said = (value) => (value === null || value === undefined ? "not told" : String(value));
const span = (range) => (range ? `${range[0]} to ${range[1]}` : "not told");

function side(from, size, plus, minus) {
  const [low, high] = [Math.abs(from), Math.abs(from + size)];
  if (from < 0 && from + size > 0) return `${low}°${minus} to ${high}°${plus}`;
  return `${low} to ${high}°${from < 0 ? minus : plus}`;
}

function place(group) {
  if (group.origin === "world") return "the rest of the world";
  if (group.size === null) return group.origin;
  return `${side(group.south, group.size, "N", "S")}, ${side(group.west, group.size, "E", "W")}`;
}

function area(group) {
  const band = (sine(group.south + group.size) - sine(group.south)) / 2;
  return (EARTH_MILLION_KM2 * band * group.size) / 360;
}

function figure(group) {
  const streams = at("measure").value === "streams";
  const value = streams ? group.streams : group.asking && (group.asking[0] + group.asking[1]) / 2;
  if (value === null || value === undefined) return null;
  return at("rate").checked ? value / area(group) : value;
}

function level(value, most) {
  return most > 0 ? Math.min(5, 1 + Math.floor(Math.sqrt(value / most) * 5)) : 1;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function describe(group) {
  return `${place(group)}: gateways asking ${span(group.asking)}, streams ${said(group.streams)}, ` +
    `told by ${group.operators} operator${group.operators === 1 ? "" : "s"}`;
}

// Told in another hour of the day, and not in this one: nothing, or too few to tell.
function hidden(hour) {
  const here = new Set(hour.groups.filter((group) => figure(group) !== null).map((each) => each.origin));
  const day = new Map();
  for (const each of hour.operators === 0 ? [] : view.hours) {
    for (const group of each.groups) {
      if (group.size !== null && figure(group) !== null && !here.has(group.origin)) day.set(group.origin, group);
    }
  }
  return [...day.values()].sort((a, b) => b.size - a.size || a.origin.localeCompare(b.origin));
}

function draw(hour, most) {
  const world = hour.groups.find((group) => group.origin === "world");
  const ground = hour.operators === 0 ? "silent" : world && figure(world) !== null ? "wider" : "untold";
  at("ground").setAttribute("class", ground);
  const drawn = hour.groups
    .filter((group) => group.size !== null && figure(group) !== null)
    .sort((a, b) => b.size - a.size || a.origin.localeCompare(b.origin));
  const made = [];
  const untold = hidden(hour);
  for (const group of [...untold, ...drawn]) {
    const [west, east] = [group.west, group.west + group.size];
    const [south, north] = [group.south, group.south + group.size];
    const box = { x: x(west), y: y(north), width: x(east) - x(west), height: y(south) - y(north) };
    const shown = !untold.includes(group);
    const tone = shown ? `told l${level(figure(group), most)}` : "told hidden";
    const label = shown ? describe(group) : `${place(group)}: nothing this hour, or too few to tell; told in another hour`;
    const rect = element("rect", { ...box, class: tone, tabindex: 0, role: "img", "aria-label": label });
    const tell = () => { at("detail").textContent = label; };
    rect.addEventListener("focus", tell);
    rect.addEventListener("pointerenter", tell);
    made.push(rect);
    if (shown && group.size > 5) made.push(element("rect", { ...box, class: "wider hatch" }));
  }
  const focused = document.activeElement?.getAttribute?.("aria-label");
  at("bins").replaceChildren(...made);
  if (focused) made.find((each) => each.getAttribute("aria-label") === focused)?.focus();
}

function rows(body, lines, empty) {
  const shown = lines.length ? lines : [[empty]];
  at(body).replaceChildren(...shown.map((cells) => {
    const row = document.createElement("tr");
    for (const text of cells) {
      const cell = document.createElement("td");
      cell.textContent = text;
      if (cells.length < 4 && text === cells.at(-1)) cell.colSpan = cells.length === 1 ? 5 : 5 - cells.length;
      row.append(cell);
    }
    return row;
  }));
}

// In no figure above: what winning tickets of who does not share make probable.
function estimate() {
  const [guess, marked] = [view.estimated, view.marked];
  at("guesses").hidden = !guess && !marked;
  const parts = [];
  if (guess) {
    parts.push(`Estimated, and in no figure above: ${Math.round(guess.streams)} streams, ` +
      `${Math.round(guess.low)} to ${Math.round(guess.high)} by the middle 80 % of the ${guess.sharers} ` +
      "operators who share, from what winning tickets pay.");
  }
  if (marked) {
    parts.push(`Marked: what ${marked} operator${marked === 1 ? " shares" : "s share"} does not agree with ` +
      "winning tickets, 99 times of 100; it is in no figure above.");
  }
  at("estimated").textContent = parts.join(" ");
}

function share(hour) {
  const old = view.old ? ` The store does not answer: this was read at ${clock(view.readAt)}.` : "";
  const here = `${hour.operators} told this hour.${old}`;
  if (view.unknown === null) {
    return `${view.shared} operators told something on this day; how many did not is not known. ${here}`;
  }
  const asked = view.shared + view.unknown;
  return `${view.shared} of ${asked} operators share; the share of the other ${view.unknown} is unknown. ${here}`;
}

const clock = (time) => `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;

// Days that a collector with a store keeps, and how the store is.
function kept() {
  const store = live.store;
  at("kept").hidden = at("weeks").hidden = !store;
  if (!store) return;
  const away = store.awaySince;
  at("weeks-state").textContent =
    (away ? `The store does not answer since ${clock(away)}; what is shown here may be old. ` : "") +
    (store.refused ? `It has refused ${store.refused} figures. ` : "") + `${store.days} days are kept.`;
}

async function read(path) {
  const answer = await fetch(path).catch(() => null);
  const body = await answer?.json().catch(() => null);
  return answer?.ok ? body : null;
}

async function weeks() {
  if (!live?.store) return;
  const found = await read("weeks");
  if (!found) {
    if (!at("days").children.length) rows("days", [], "The store does not answer");
    return;
  }
  rows("days", found.rows.map((each) =>
    [each.day, each.region, each.operators, said(each.average), said(each.maximum)]), "Nothing is kept yet");
  const chosen = at("day").value;
  const days = [...new Set(found.rows.map((each) => each.day))];
  at("day").replaceChildren(...["", ...days].map((day) => new Option(day || "the last 24 hours", day)));
  at("day").value = days.includes(chosen) ? chosen : "";
}

async function choose() {
  const day = at("day").value;
  following = true;
  const found = day ? await read(`day/${day}`) : live;
  if (at("day").value !== day) return;
  if (found) {
    view = found;
    show();
  } else {
    at("day").value = "";
    view = live;
    show();
    at("share").textContent = `The store does not answer for ${day}; shown are the last 24 hours.`;
  }
}

function show() {
  const last = view.hours.length - 1;
  at("hour").max = last;
  if (following) at("hour").value = last;
  const hour = view.hours[Number(at("hour").value)];
  const when = clock(hour.start);
  at("when").textContent = when;
  at("hour").setAttribute("aria-valuetext", when);
  const bins = view.hours.flatMap((each) => each.groups).filter((group) => group.size !== null);
  const day = bins.map(figure).filter((value) => value !== null);
  draw(hour, Math.max(0, ...day));
  at("share").textContent = share(hour);
  at("operator").textContent = view.operator;
  const silence = hour.operators === 0 ? "No operator reports this hour" : "Nothing told";
  const told = hour.groups.map((each) => [place(each), each.operators, said(each.streams), span(each.asking)]);
  const untold = hidden(hour).map((each) => [place(each), "nothing, or too few"]);
  rows("origins", [...told, ...untold], silence);
  rows("origins-day", view.days.map((each) => [place(each), each.operators, said(each.average), said(each.maximum)]),
    "Nothing told");
  rows("regions", view.regions.map((each) =>
    [each.region, each.operators, said(each.now), said(each.average), said(each.maximum)]),
    "Nobody shares");
  rows("work", view.work.map((each) => [each.title, each.cell, each.operators, each.amount]),
    "Nobody shares work by kind");
  estimate();
  document.body.dataset.ready = "yes";
  document.body.dataset.state = "live";
}

at("hour").addEventListener("input", () => {
  following = at("hour").value === at("hour").max;
  show();
});
for (const id of ["measure", "rate"]) at(id).addEventListener("change", show);
at("day").addEventListener("change", choose);
setInterval(weeks, 60000);

const events = new EventSource("events");
events.onmessage = (message) => {
  const first = !live;
  live = JSON.parse(message.data);
  kept();
  if (first) weeks();
  if (at("day").value) return;
  view = live;
  show();
};
events.onerror = () => {
  document.body.dataset.state = "broken";
  at("share").textContent = "The collector does not answer; what is shown may be old.";
};
