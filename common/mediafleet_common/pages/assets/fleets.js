// Fleets: each pod a bar of CPUs by job type; a click tells why it is given the next job, or not.
import { at, counted, h, label, number, open, plural, table, time, walk, words } from "./parts.js";
import { json } from "./stream.js";

const TYPES = ["room_composite", "audio_room_composite", "sdk_audio_room_composite", "web", "audio_web",
  "participant", "track_composite", "track"];
const ORDERS = {
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  "free CPUs": (a, b) => (b.free ?? -1) - (a.free ?? -1) || ORDERS.name(a, b),
  jobs: (a, b) => jobs(b) - jobs(a) || ORDERS.name(a, b),
};
const sections = new Map();
let last = null;

const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);
const jobs = (pod) => sum(pod.jobs);

function made() {
  sections.clear();
  const again = () => last && show(last);
  return [
    h("div", { class: "choices" },
      h("label", {}, "Find ", h("input", { id: "find", type: "search", placeholder: "pod", oninput: again })),
      h("label", {}, "Order ", h("select", { id: "order", onchange: again },
        ...Object.keys(ORDERS).map((name) => h("option", {}, name)))),
      h("label", {}, h("input", { id: "odd", type: "checkbox", onchange: again }), " only pods that take no jobs")),
    h("div", { id: "fleets" }, h("p", { class: "soft" }, "Loading")),
    h("section", { id: "placements", "aria-labelledby": "placements-title" })];
}

function bar(pod) {
  const all = Math.max(pod.cpus ?? 0, sum(pod.used)) || 1;
  const parts = Object.entries(pod.used).map(([kind, cores]) => {
    const part = h("i", { class: kind });
    part.style.width = `${(100 * cores) / all}%`;
    return part;
  });
  return h("span", { class: "bar", "aria-hidden": "true" }, ...parts);
}

function fill(button, pod, known) {
  const free = pod.cpus === null ? "CPUs unknown"
    : pod.free === null ? `${number(pod.cpus)} CPUs, free unknown` : `${number(pod.free)} of ${number(pod.cpus)} CPUs free`;
  const work = !known ? "jobs unknown; " : pod.state === "pending" ? "" : `${counted(pod.jobs) || "idle"}; `;
  const mark = pod.state !== "ready" ? pod.state : pod.why ? "takes none" : pod.load_known ? "" : "load unknown";
  button.className = `pod ${pod.state}${pod.why ? " odd" : ""}`;
  button.replaceChildren(
    h("span", { class: "top" }, h("span", { class: "name" }, pod.name), h("span", { class: "mark" }, mark)), bar(pod),
    h("span", { class: "words" }, `${work}${free}`));
}

function section(fleet) {
  const list = h("ul", { class: "pods" });
  list.addEventListener("keydown", (event) => walk(list, event));
  const head = h("h2", {}, label(fleet));
  const found = { head, list, said: h("p", { class: "said" }), trouble: h("p", { class: "trouble" }), pods: new Map() };
  found.whole = h("section", { "aria-label": `Fleet ${label(fleet)}` }, head, found.said, found.trouble, list);
  return found;
}

function summary(fleet) {
  const states = {};
  for (const pod of fleet.pods) states[pod.state] = (states[pod.state] ?? 0) + 1;
  const used = fleet.pods.reduce((all, pod) => all + sum(pod.used), 0);
  const cpus = fleet.pods.reduce((all, pod) => all + (pod.cpus ?? 0), 0);
  const pods = Object.entries(states).map(([state, many]) => `${many} ${state}`).join(", ");
  const waits = sum(fleet.queued) ? ` Waiting for room: ${counted(fleet.queued)}.` : "";
  const many = fleet.pods.reduce((all, pod) => all + jobs(pod), 0);
  return `${plural(fleet.pods.length, "pod")}${pods && `: ${pods}`}. ${plural(many, "job")}, ` +
    `${number(used)} of ${number(cpus)} CPUs used. Mode ${fleet.mode}.${waits}`;
}

function draw(fleet) {
  const key = label(fleet);
  if (!sections.has(key)) sections.set(key, section(fleet));
  const { list, said, trouble, pods } = sections.get(key);
  said.textContent = fleet.why_unknown ? plural(fleet.pods.length, "pod") : summary(fleet);
  trouble.textContent = fleet.why_unknown ? `Nothing is known of its jobs: ${fleet.why_unknown}`
    : fleet.pods.length ? "" : "It has no pods: a job that comes now waits, or is refused. See kubectl describe efleet, or the workers file.";
  const wanted = at("find").value.trim().toLowerCase();
  const order = ORDERS[at("order").value];
  const there = new Set();
  const items = [...fleet.pods].sort(order).map((pod) => {
    there.add(pod.name);
    const text = JSON.stringify([pod, fleet.why_unknown]);
    let item = pods.get(pod.name);
    if (!item) {
      item = h("li", {}, h("button", { type: "button", tabindex: -1, onclick: () => explain(key, pod.name) }));
      pods.set(pod.name, item);
    }
    if (item.dataset.text !== text) fill(item.firstChild, pod, !fleet.why_unknown);
    item.dataset.text = text;
    item.hidden = !pod.name.toLowerCase().includes(wanted) || (at("odd").checked && !pod.why);
    return item;
  });
  for (const name of pods.keys()) if (!there.has(name)) pods.delete(name);
  const same = items.length === list.children.length && items.every((item, place) => item === list.children[place]);
  if (!same) {
    const focused = document.activeElement;
    list.replaceChildren(...items);
    if (list.contains(focused)) focused.focus();
  }
  const first = items.find((item) => !item.hidden);
  if (first && !items.some((item) => !item.hidden && item.firstChild.tabIndex === 0)) first.firstChild.tabIndex = 0;
  return key;
}

function legend(fleet) {
  const kinds = new Set(fleet.flatMap((each) => each.pods.flatMap((pod) => Object.keys(pod.used))));
  return h("ul", { class: "legend", id: "legend" }, ...[...TYPES, "other"].filter((kind) => kinds.has(kind)).map((kind) =>
    h("li", {}, h("i", { class: kind }), words(kind))));
}

function show(data) {
  last = data;
  const keys = data.fleets.map(draw);
  for (const key of sections.keys()) if (!keys.includes(key)) sections.delete(key);
  const wholes = keys.map((key) => sections.get(key).whole);
  const empty = h("p", {}, "There are no fleets. Make one: ", h("code", {}, "kubectl apply -f samples/egress-fleet.yaml"),
    ", or name workers in the file of ", h("code", {}, "--workers"), ".");
  const place = at("fleets");
  const stays = wholes.length && wholes.length + 1 === place.children.length &&
    wholes.every((whole, index) => whole === place.children[index + 1]);
  if (stays) place.firstChild.replaceWith(legend(data.fleets));
  else place.replaceChildren(...(wholes.length ? [legend(data.fleets), ...wholes] : [empty]));
  at("placements").replaceChildren(
    h("h2", { id: "placements-title" }, "Newest placements"),
    table(["Time", "Type", "Pod", "Job"], data.placements.map((each) => [
      time(each.at), words(each.type), `${each.fleet}: ${each.pod}${each.started ? "" : " (starting)"}`, each.egress_id]),
    "No jobs run."));
}

async function explain(key, name) {
  const choose = h("select", { id: "kind" }, ...TYPES.map((kind) => h("option", { value: kind }, words(kind))));
  const answer = h("div", { "aria-live": "polite" });
  const kinds = Object.keys(last.fleets.find((each) => label(each) === key)?.pods.find((pod) => pod.name === name)?.jobs ?? {});
  choose.value = kinds.find((kind) => TYPES.includes(kind)) ?? "track";
  choose.addEventListener("change", () => ask(key, name, choose.value, answer));
  open(name, facts(key, name), h("label", {}, "The next job: ", choose), answer);
  await ask(key, name, choose.value, answer);
}

function facts(key, name) {
  const fleet = last.fleets.find((each) => label(each) === key);
  const pod = fleet?.pods.find((each) => each.name === name);
  if (!pod) return h("p", {}, "This pod is gone.");
  const ends = fleet.unconfirmed[name];
  const stays = name in fleet.unconfirmed ? ends === null ? " Nobody knows whether livekit-server has the ends of its jobs."
    : ends ? ` livekit-server has not confirmed the end of ${plural(ends, "job")}.` : "" : "";
  return h("p", {}, `${pod.state[0].toUpperCase()}${pod.state.slice(1)}, ${fleet.why_unknown ? "jobs unknown" : counted(pod.jobs) || "no jobs"}.`,
    pod.why ? ` It is given no jobs: ${pod.why}.${stays}` : "",
    pod.load_known || pod.state === "pending" ? "" : " It has not told its load lately: numbers are of what was placed on it.");
}

async function ask(key, name, kind, place) {
  const mode = last.fleets.find((each) => label(each) === key)?.mode;
  try {
    const { fleets } = await json(`../explain?type=${kind}&mode=${mode}`);
    place.replaceChildren(...why(fleets.find((each) => label(each) === key), name, kind));
  } catch (error) {
    place.replaceChildren(h("p", { class: "trouble" }, `No answer: ${error.message}. Close this and try again.`));
  }
}

function why(fleet, name, kind) {
  if (!fleet) return [h("p", {}, "Its fleet is gone.")];
  if (fleet.why_not) return [h("p", {}, `The fleet takes none: ${fleet.why_not}.`)];
  const pod = fleet.pods.find((each) => each.name === name);
  const order = fleet.modes[0].order;
  const place = order.findIndex((each) => each.name === name);
  const said = !pod ? "This pod is gone."
    : pod.why_not ? `Not this pod: ${pod.why_not}.`
      : place === 0 ? `This pod is next: first of ${order.length} that it fits.`
        : `${place} of ${plural(order.length, "pod")} that it fits ${place === 1 ? "comes" : "come"} before this one.`;
  const lines = [...new Set([...order.slice(0, 5), order[place]].filter(Boolean))];
  const drawn = fleet.modes[0].drawn_from;
  return [
    h("p", {}, h("b", {}, said), ` A ${words(kind)} job needs ${number(fleet.needs_cpus)} CPUs here.`,
      fleet.waiting ? ` ${plural(fleet.waiting, "request")} wait before it.` : ""),
    drawn.length ? h("p", {}, `The load of ${drawn.length} pods is unknown: two of them are drawn at random.`) : null,
    lines.length ? h("p", { class: "soft" }, `Mode ${fleet.modes[0].mode} orders pods by these, from left to right; the smallest comes first.`) : null,
    lines.length ? h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Order of pods" },
      table(["Pod", ...lines[0].key.slice(0, -1).map((part) => part.name)], lines.map((line) =>
        [line.name === name ? `${line.name} (this)` : line.name, ...line.key.slice(0, -1).map((part) => said_(part.value))]))) : null,
  ].filter(Boolean);
}

const said_ = (value) => (value === true ? "yes" : value === false ? "no" : typeof value === "number" ? number(value) : value);

export const fleets = { title: "Fleets", made, show };
