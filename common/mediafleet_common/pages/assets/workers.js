// AI workers: each model's capacity, what runs and waits, and each worker that is connected.
import { at, h, plural, table } from "./parts.js";

let last = null;

function made() {
  const again = () => last && show(last);
  return [
    h("section", { "aria-labelledby": "models-title" }, h("h2", { id: "models-title" }, "Models"), h("div", { id: "models" })),
    h("section", { "aria-labelledby": "workers-title" },
      h("h2", { id: "workers-title" }, "Workers"),
      h("div", { class: "choices" },
        h("label", {}, "Find ", h("input", { id: "find", type: "search", placeholder: "worker, model, GPU", oninput: again }))),
      h("div", { id: "workers" }))];
}

function use(used, capacity, waiting = 0, leaving = 0) {
  const staying = used - leaving;
  const all = Math.max(capacity, staying) + leaving + waiting || 1;
  const part = (kind, many) => {
    const made = h("i", { class: kind });
    made.style.width = `${(100 * many) / all}%`;
    return made;
  };
  const beside = leaving ? `, and ${leaving} on workers that drain` : "";
  return h("span", { class: "load" }, `${staying} of ${capacity}${beside}`,
    h("span", { class: "bar", "aria-hidden": "true" }, part("track_composite", staying), part("free", Math.max(0, capacity - staying)),
      part("other", leaving), part("participant", waiting)));
}

const spaced = (name) => name.replace("/", "/\u200b");

function show(data) {
  last = data;
  at("models").replaceChildren(table(["Model", "Tasks", "Waiting", "Missed", "Workers"], data.models.map((model) => [
    spaced(model.name), use(model.in_use, model.capacity, model.waiting, model.leaving), model.waiting, model.missed,
    model.workers || "none: start one that serves it"]),
    "The broker takes tasks for no model. Name some in the file of --models."));
  const wanted = at("find").value.trim().toLowerCase();
  const text = (worker) => `${worker.known_as ?? ""} ${worker.name ?? ""} ${worker.id} ${Object.keys(worker.models).join(" ")} ${worker.hardware.join(" ")}`;
  const shown = data.workers.filter((worker) => text(worker).toLowerCase().includes(wanted));
  const all = plural(data.workers.length, "worker");
  at("workers-title").textContent = wanted ? `${shown.length} of ${all}` : all;
  at("workers").replaceChildren(table(["Worker", "Serves", "Tasks", "GPU and runner, as it says", "Remarks"], shown.map((worker) => [
    worker.known_as ? `${worker.known_as}: ${worker.name ?? worker.id}` : worker.name ?? `${worker.id} (no name)`,
    h("span", {}, ...Object.entries(worker.models).flatMap(([model, many]) => [`${spaced(model)} (${many})`, h("br")]).slice(0, -1)),
    use(worker.in_use, Object.values(worker.models).reduce((all, each) => all + each, 0)),
    [...worker.hardware, ...new Set(Object.values(worker.versions ?? {}).map((version) => `runner ${version}`))].join(", ") || "not told", worker.why ? `Given no tasks: ${worker.why}.` : ""]),
    data.workers.length ? "None of that text." : "No worker is connected. Start one: mediafleet worker, or go-livepeer with -aiWorker -orchAddr."));
}

export const workers = { title: "AI workers", made, show };
