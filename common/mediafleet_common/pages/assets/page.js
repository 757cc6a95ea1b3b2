// The frame of all pages: which one is shown, the stream that keeps it fresh, and the token.
import { follow } from "./stream.js";
import { at, h } from "./parts.js";
import { fleets } from "./fleets.js";
import { nodes } from "./nodes.js";
import { scaling } from "./scaling.js";
import { workers } from "./workers.js";

const VIEWS = { fleets, nodes, workers, scaling };
const names = document.body.dataset.views.split(" ").filter((name) => name in VIEWS);
let shown = null;
let data = null;
let since = null;

function choose() {
  const wanted = location.hash.slice(1);
  const name = names.includes(wanted) ? wanted : names[0];
  if (shown === name) return;
  if (shown) VIEWS[shown].leave?.();
  shown = name;
  const view = VIEWS[name];
  document.title = `${view.title} - mediafleet`;
  at("main").replaceChildren(...view.made());
  at("views").replaceChildren(...names.map((each) =>
    h("a", { href: `#${each}`, ...(each === name && { "aria-current": "page" }) }, VIEWS[each].title)));
  if (data) view.show(data);
}

function state(kind, text) {
  document.body.dataset.state = kind;
  at("ask").hidden = kind !== "refused";
  if (kind === "refused") at("refused").textContent = text;
  const old = since ? ` Shown is what was so at ${since.toLocaleTimeString()}.` : "";
  at("state").textContent = kind === "live" ? "Live" : kind === "refused" ? "Not let in" : text + old;
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token").value = "";
  window.dispatchEvent(new Event("token"));
});
at("detail").addEventListener("click", (event) => {
  if (event.target === at("detail")) at("detail").close();
});
window.addEventListener("hashchange", choose);
choose();
follow("events", (told) => {
  data = told;
  since = new Date();
  VIEWS[shown].show(data);
  document.body.dataset.ready = "yes";
}, state);
