// Nodes as gateways see them: the list in its order, and who is off it and why.
import { at, h, label, plural, table, words } from "./parts.js";

let last = null;

function made() {
  const again = () => last && show(last);
  return [
    h("div", { class: "choices" },
      h("label", {}, "Find ", h("input", { id: "find", type: "search", placeholder: "node, URL, region", oninput: again }))),
    h("div", { id: "conditions" }),
    h("section", { "aria-labelledby": "on-title" },
      h("h2", { id: "on-title" }, "Loading"), h("div", { id: "on" })),
    h("section", { "aria-labelledby": "off-title" },
      h("h2", { id: "off-title" }, "Not listed"), h("div", { id: "off" }))];
}

function load(node) {
  const { sessions, capacity } = node;
  const text = sessions === null ? "unknown" : capacity === null ? String(sessions) : `${sessions} of ${capacity}`;
  const part = h("i", { class: "track_composite" });
  part.style.width = `${capacity ? Math.min(100, (100 * (sessions ?? 0)) / capacity) : 0}%`;
  return h("span", { class: "load" }, `${text}${node.full ? ", full" : ""}`,
    capacity && sessions !== null ? h("span", { class: "bar", "aria-hidden": "true" }, part) : null);
}

function name(node) {
  return h("span", {}, h("b", {}, node.name), node.source ? ` from ${node.source}` : "", h("br"), h("span", { class: "soft" }, node.url));
}

function trouble(conditions) {
  const bad = conditions.filter((each) => each.status !== "True");
  return bad.map((each) => h("p", { class: "trouble" }, `${each.type}: ${each.message || words(each.reason)}`));
}

function show(data) {
  last = data;
  const wanted = at("find").value.trim().toLowerCase();
  const fits = (node) => `${node.name} ${node.url} ${node.region ?? ""} ${node.why_not ?? ""}`.toLowerCase().includes(wanted);
  const all = data.pool.nodes;
  const on = all.filter((node) => node.why_not === null);
  const off = all.filter((node) => node.why_not !== null);
  const listed = on.filter(fits).map((node) => [name(node), node.region ?? "unknown", load(node), node.detail]);
  const left = off.filter(fits).map((node) => [name(node), node.state, words(node.why_not), node.detail]);
  at("conditions").replaceChildren(...trouble(data.conditions));
  at("on-title").textContent = `${label(data.pool)}: gateways get ${plural(on.length, "node")}`;
  at("off-title").textContent = `Not listed: ${off.length}`;
  const empty = all.length ? "No node is listed: gateways are told that there are none. The reasons are below."
    : "The pool has no nodes. See kubectl describe opool, or the nodes file.";
  at("on").replaceChildren(table(["Node", "Region", "Sessions", "Remarks"], listed, wanted && on.length ? "None of that text." : empty));
  at("off").replaceChildren(table(["Node", "State", "Why", "More"], left, wanted && off.length ? "None of that text." : "Each node is listed."));
}

export const nodes = { title: "Nodes", made, show };
