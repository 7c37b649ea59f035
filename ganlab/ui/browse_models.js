// The gallery: what is filtered, which two are compared, a card's menu and its new name. What acts on
// the server goes there as an event with {act, name}; cards of runs that learn are asked for anew.
const EVERY = 2000;  // ms between two questions
const list = element.querySelector(".gl-models-list");
const search = element.querySelector("input[type=search]");
const hint = element.querySelector(".gl-models-hint");
let kind = "", picked = [], isAsking = false;

const cards = () => [...list.querySelectorAll(".gl-model")];
const cardOf = (name) => cards().find((card) => card.dataset.name === name);
const titleOf = (name) => cardOf(name)?.querySelector("h3")?.textContent ?? "";

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards()) {
    const fits = (!kind || card.dataset.kind === kind)
      && words.every((word) => card.dataset.words.includes(word));
    card.hidden = !fits;
    shown += fits;
  }
  list.querySelector(".gl-models-none")?.remove();
  if (shown || !cards().length) return;
  const none = document.createElement("p");
  none.className = "gl-note gl-models-none";
  none.setAttribute("role", "status");
  none.textContent = kind === "own" && !words.length
    ? "None of your own yet: train one, or drop the zip of a downloaded one below."
    : "No model fits: look for something else.";
  list.prepend(none);
}

function showPicked() {
  picked = picked.filter(cardOf);
  for (const card of cards()) {
    const isPicked = picked.includes(card.dataset.name);
    card.classList.toggle("gl-picked", isPicked);
    card.querySelector("[data-act=compare]")?.setAttribute("aria-pressed", isPicked);
  }
  hint.hidden = picked.length !== 1;
  if (picked.length === 1)
    hint.textContent = `${titleOf(picked[0])} with what? Press Compare at another one.`;
}

function pick(name) {
  if (picked.includes(name)) picked = picked.filter((each) => each !== name);
  else picked = [...picked, name].slice(-2);
  showPicked();
  trigger("select", {names: picked.length === 2 ? picked : []});
}

function flash(card) {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (card.hidden) { search.value = ""; choose(""); }
  card.scrollIntoView({block: "center", behavior: still ? "auto" : "smooth"});
  card.classList.add("gl-found");
  setTimeout(() => card.classList.remove("gl-found"), 1500);
}

function rename(card) {
  const heading = card.querySelector("h3"), form = document.createElement("form");
  const input = document.createElement("input");
  const [save, cancel] = ["Save", "Cancel"].map((label) => {
    const button = document.createElement("button");
    button.textContent = label;
    button.type = label === "Save" ? "submit" : "button";
    return button;
  });
  input.value = heading.textContent;
  input.maxLength = 60;
  input.setAttribute("aria-label", "Name");
  input.placeholder = "Empty: its own name again";
  form.className = "gl-naming";
  form.append(input, save, cancel);
  heading.hidden = true;
  heading.after(form);
  input.select();
  const close = () => { form.remove(); heading.hidden = false; };
  cancel.addEventListener("click", close);
  input.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const to = input.value;
    close();
    if (to !== heading.textContent) trigger("submit", {act: "rename", name: card.dataset.name, to});
  });
}

function choose(wanted) {
  kind = wanted;
  for (const button of element.querySelectorAll("[data-only]"))
    button.setAttribute("aria-pressed", button.dataset.only === kind);
  filter();
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  for (const menu of list.querySelectorAll("details[open]"))
    if (!menu.contains(event.target) || button) menu.open = false;
  if (!button) return;
  if (button.dataset.only !== undefined) return choose(button.dataset.only);
  const {act} = button.dataset, card = button.closest(".gl-model");
  const name = button.dataset.name ?? card?.dataset.name;
  if (act === "open") trigger("click", {name});
  else if (act === "compare") pick(name);
  else if (act === "rename") rename(card);
  else if (act === "show") { if (cardOf(name)) flash(cardOf(name)); }
  else if (act) trigger("submit", {act, name});
});
search.addEventListener("input", filter);
document.addEventListener("gl-compare-closed", () => { picked = []; showPicked(); });

// Of cards that learn, the server is asked for what is new; nothing while nobody looks.
async function follow() {
  const busy = cards().filter((card) => card.dataset.busy !== undefined);
  if (!busy.length || isAsking || !element.offsetParent || document.hidden) return;
  isAsking = true;
  try {
    const own = cards().filter((card) => card.dataset.kind === "own");
    const seen = Object.fromEntries(own.map((card) => [card.dataset.name, card.dataset.mark]));
    const fresh = await server.follow(seen);
    for (const [name, html] of Object.entries(fresh ?? {})) replace(cardOf(name), name, html);
    if (fresh && Object.keys(fresh).length) { filter(); showPicked(); }
  } finally {
    isAsking = false;
  }
}

function replace(card, name, html) {
  if (!card || card.querySelector(".gl-naming, details[open]")) return;  // later: a hand is in it
  if (!html) return card.remove();  // deleted elsewhere
  const focused = card.contains(document.activeElement) && document.activeElement.dataset.act;
  const best = card.dataset.best;
  card.insertAdjacentHTML("afterend", html);
  const fresh = card.nextElementSibling;
  card.remove();
  if (focused) fresh.querySelector(`[data-act=${focused}]`)?.focus();
  const isCompared = picked.length === 2 && picked.includes(name);
  if (isCompared && fresh.dataset.best !== best) trigger("input");
}

const ticking = setInterval(
  () => (element.isConnected ? follow() : clearInterval(ticking)), EVERY);

function renew() {
  list.innerHTML = props.value ?? "";
  filter();
  showPicked();
  list.querySelector(".gl-models-notice")?.scrollIntoView({block: "nearest"});
}
renew();  // it may have come before this script
watch("value", renew);
