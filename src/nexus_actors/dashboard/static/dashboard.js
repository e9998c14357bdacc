// Keeps a page fresh: fetches it again, and changes what differs.  What a person has
// ticked, opened or filled in stays, and so does the focus.  Without it, all works.
"use strict";

const FIRST_MS = 1000;  // then there are two looks, and rates
const EVERY_MS = 2000;
const SLOWEST_MS = 30000;
const main = document.getElementById("main");
const stale = document.getElementById("stale");
const button = document.getElementById("live");
const isLive = main.dataset.live === "yes";
let wanted = sessionStorage.getItem("live") !== "no";
let wait = FIRST_MS, timer = 0;

const keyOf = node => node.nodeType === 1 && node.id ? node.id : "";

function isAlike(one, other) {
  return one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function morph(now, next) {
  if (now.nodeType !== 1) {
    if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
    return;
  }
  for (const {name} of [...now.attributes]) {
    if (!next.hasAttribute(name) && name !== "open" && name !== "hidden") now.removeAttribute(name);
  }
  for (const {name, value} of next.attributes) {
    if (now.getAttribute(name) !== value && name !== "hidden") now.setAttribute(name, value);
  }
  morphChildren(now, next);
}

function morphChildren(now, next) {
  const keys = new Set([...next.childNodes].map(keyOf));
  let place = now.firstChild;
  for (const child of [...next.childNodes]) {
    while (place && keyOf(place) && !keys.has(keyOf(place))) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    const key = keyOf(child);
    let found = place && isAlike(place, child) ? place : null;
    if (!found && key) found = [...now.children].find(each => keyOf(each) === key && isAlike(each, child));
    if (!found) {
      now.insertBefore(document.importNode(child, true), place);
    } else if (found === place) {
      place = place.nextSibling;
      morph(found, child);
    } else {
      now.insertBefore(found, place);
      morph(found, child);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

async function refresh() {
  try {
    const answer = await fetch(location.href, {headers: {"Nexus-Live": "1"}, redirect: "error"});
    const told = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = told.getElementById("main");
    if (!answer.ok || !fresh) throw new Error(fresh?.querySelector(".said")?.textContent || `answer ${answer.status}`);
    morph(main, fresh);
    morph(document.getElementById("nav"), told.getElementById("nav"));
    prepare();
    stale.hidden = true;
    wait = EVERY_MS;
  } catch (error) {
    stale.textContent = `Not up to date: ${error.message}`;
    stale.hidden = false;
    wait = Math.min(wait * 2, SLOWEST_MS);
  }
  again();
}

function again() {
  clearTimeout(timer);
  if (isLive && wanted && !document.hidden) timer = setTimeout(refresh, wait);
}

function show() {
  button.setAttribute("aria-pressed", String(wanted));
}

// "All on this page", which a page without this script has no use for.
function prepare() {
  const all = document.querySelector("[data-all]");
  if (!all) return;
  all.closest("[hidden]")?.removeAttribute("hidden");
  all.onchange = () => {
    for (const box of document.getElementsByName(all.dataset.all)) box.checked = all.checked;
  };
}

if (isLive) {
  button.hidden = false;
  button.onclick = () => {
    wanted = !wanted;
    sessionStorage.setItem("live", wanted ? "yes" : "no");
    stale.hidden = true;
    wait = EVERY_MS;
    show();
    wanted ? refresh() : again();
  };
  document.addEventListener("visibilitychange", () => document.hidden ? again() : wanted && refresh());
  show();
  again();
}
// one question at a time, and Escape answers none of them
document.addEventListener("toggle", event => {
  if (!event.target.matches?.(".ask[open]")) return;
  for (const other of document.querySelectorAll(".ask[open]")) if (other !== event.target) other.open = false;
}, true);
document.addEventListener("keydown", event => {
  const open = event.key === "Escape" && document.querySelector(".ask[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});
prepare();
