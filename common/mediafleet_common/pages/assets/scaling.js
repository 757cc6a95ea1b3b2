// Pods asked for and had over the last hours, and what ran and waited. Charts by uPlot.
import { at, h, label, plural, table } from "./parts.js";
import { json } from "./stream.js";

const EVERY_MS = 1000;
const KEEP = 720;
const DAY_EVERY_MS = 60000;
const CHARTS = {
  pods: { title: "Pods", series: [["wanted", "asked for", "--participant"], ["ready", "ready", "--track_composite"], ["busy", "busy", "--room_composite"], ["forecast", "forecast", "--web"]] },
  work: { title: "Work", series: [["work", "running", "--room_composite"], ["waiting", "waiting for room", "--participant"]] },
};
const NUMBERS = { at: "Time", wanted: "Asked for", ready: "Ready", busy: "Busy", work: "Running", waiting: "Waiting", forecast: "Forecast" };
const DASHES = [[], [8, 4], [2, 3], [12, 3, 2, 3]];
let timer = null;
let fleet = null;
let kept = null;
let readAt = 0;
let plots = {};

const MINUTES = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const clock = (time, parts) => new Date(time * 1000).toLocaleTimeString([], parts);
const color = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");

function made() {
  plots = {};
  kept = null;
  fleet = null;
  addEventListener("resize", drawn);
  dark.addEventListener("change", drawn);
  timer = setTimeout(look, 0);
  return [
    h("div", { class: "choices" }, h("label", {}, "Of ", h("select", { id: "fleet", onchange: choose })),
      h("label", {}, "over ", h("select", { id: "range", onchange: choose },
        h("option", { value: "hours" }, "two hours"), h("option", { value: "day" }, "a day")))),
    h("p", { id: "told", role: "status" }, "Loading"),
    ...Object.entries(CHARTS).map(([name, { title }]) =>
      h("section", { class: "of-fleet", "aria-labelledby": `${name}-title` }, h("h2", { id: `${name}-title` }, title), h("div", { id: `chart-${name}`, class: "chart", "aria-hidden": "true" }))),
    h("section", { class: "of-fleet", "aria-labelledby": "numbers-title" }, h("h2", { id: "numbers-title" }, "The same as numbers"), h("div", { id: "numbers" })),
    h("p", { class: "soft" }, "Asked for is what running and waiting work needs, whatever minReplicas, maxReplicas and schedules say; ",
      "status.autoscaling.why of the resource has the rest. A forecast is shown where one is made (spec.autoscaling.forecast). A gap is time in which nothing was known, or in which this process did not run. Two hours are kept, and of a day the most of each ten minutes.")];
}

function leave() {
  clearTimeout(timer);
  removeEventListener("resize", drawn);
  dark.removeEventListener("change", drawn);
  Object.values(plots).forEach((plot) => plot.destroy());
  plots = {};
}

function choose() {
  fleet = at("fleet").value;
  kept = null;
  clearTimeout(timer);
  look();
}

async function look() {
  try {
    const { fleets } = await json("../demand");
    if (!at("fleet")) return;
    options(fleets);
    const now = fleets.find((each) => label(each) === fleet);
    say(now);
    if (now) await take(now);
  } catch (error) {
    if (at("told")) at("told").textContent = `Not known: ${error.message}`;
  }
  clearTimeout(timer);
  if (at("fleet")) timer = setTimeout(look, EVERY_MS);
}

function options(fleets) {
  const names = fleets.map(label);
  const before = [...at("fleet").options].map((each) => each.value);
  if (names.join() !== before.join()) at("fleet").replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  if (!names.includes(fleet)) { fleet = names[0] ?? null; kept = null; }
  if (fleet) at("fleet").value = fleet;
}

function say(now) {
  const waits = now ? Object.values(now.queued).reduce((all, each) => all + each, 0) : 0;
  for (const each of document.querySelectorAll(".of-fleet")) each.hidden = !now;
  at("told").className = now?.known === false ? "trouble" : "";
  at("told").textContent = !now ? "There are no fleets that scale. Make one, or wait until the process has seen them."
    : !now.known ? `The demand is unknown, so the pods stay as they are: ${now.reason}`
      : `${plural(now.ready, "pod")} ready, ${now.busy} busy; ${now.work} running, ${waits} waiting.`;
}

async function take(now) {
  const { namespace, name } = now;
  const day = at("range").value === "day";
  if (day && kept && Date.now() - readAt < DAY_EVERY_MS) return;
  if (day) kept = null;
  readAt = Date.now();
  const after = kept ? kept.at[kept.at.length - 1] ?? 0 : 0;
  const asked = fleet;
  const query = new URLSearchParams({ namespace, name, after, range: at("range").value });
  const news = await json(`history?${query}`);
  if (asked !== fleet || !at("fleet") || day !== (at("range").value === "day")) return;
  const first = kept === null;
  kept ??= Object.fromEntries(Object.keys(NUMBERS).map((each) => [each, []]));
  if (!first && !news.at.length) return;
  for (const each of Object.keys(NUMBERS)) kept[each] = [...kept[each], ...news[each]].slice(-KEEP);
  drawn();
  document.body.dataset.drawn = String(kept.at.length);
}

// A long silence is a gap and no line.
function gaps(column) {
  const times = [];
  const values = column.map(() => []);
  kept.at.forEach((time, place) => {
    const before = times[times.length - 1];
    if (before !== undefined && time - before > (at("range").value === "day" ? 1800 : 60)) {
      times.push((before + time) / 2);
      values.forEach((each) => each.push(null));
    }
    times.push(time);
    column.forEach((name, which) => values[which].push(kept[name][place]));
  });
  return [times, ...values];
}

// Few fleets have a forecast.
const has = (name) => name !== "forecast" || kept.forecast.some((each) => each !== null);

function drawn() {
  if (!kept) return;
  for (const [name, { series: all }] of Object.entries(CHARTS)) {
    const series = all.filter(([key]) => has(key));
    const place = at(`chart-${name}`);
    plots[name]?.destroy();
    const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
    plots[name] = new uPlot({
      width: place.clientWidth, height: 220, cursor: { show: false }, legend: { live: false },
      scales: { y: { range: (_, __, most) => [0, Math.max(1, Math.ceil((most ?? 0) * 1.1))] } },
      axes: [{ ...axis, space: 60, values: (_, times) => times.map((each) => clock(each, MINUTES)) }, { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }],
      series: [{}, ...series.map(([, said, shade], which) => ({
        label: said, stroke: color(shade), width: 2, dash: DASHES[which], paths: uPlot.paths.stepped({ align: 1 }), points: { show: kept.at.length < 3 } }))],
    }, gaps(series.map(([key]) => key)), place);
  }
  const shown = Object.keys(NUMBERS).filter(has);
  const last = kept.at.map((time, place) => [clock(time, { ...MINUTES, second: "2-digit" }),
    ...shown.slice(1).map((name) => kept[name][place] ?? "unknown")]).slice(-10).reverse();
  at("numbers").replaceChildren(table(shown.map((name) => NUMBERS[name]), last, "Nothing is kept yet."));
}

const show = () => {};

export const scaling = { title: "Scaling", made, show, leave };
