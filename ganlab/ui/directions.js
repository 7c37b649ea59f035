// Sliders along directions: the preview follows them by requests of its own, as Blend's does, and
// strips come a few at a time.
const PATIENCE = 8000;  // ms until a question counts as lost
const FARTHEST = 3, STEPS = 7, AT_ONCE = 4, MOST_PAST = 50;
const place = element.querySelector(".gl-live");
const root = () => place.querySelector(".gl-directions");
const of = () => root()?.dataset.of;
let amounts = new Map(), drawn = new Map();  // by a direction's vector: how far, and its strip
let past = [], before = null;  // states, and the one at the start of a drag
let restored = null;  // amounts for the sample that comes back
let shownOf = "", latent = "", isWanted = false, isAsking = false, isDrawing = false;

const rowOf = (node) => node.closest("li[data-vector]");
const rows = () => [...place.querySelectorAll("li[data-vector]")];
const orNull = (ms) => new Promise((go) => setTimeout(() => go(null), ms));
const state = () => ({
  latent: root().dataset.picked === "1" ? JSON.parse(of()).latent : "", amounts: new Map(amounts)});
const remember = (was) => { past = [...past, was].slice(-MOST_PAST); };

function showAmounts() {
  for (const row of rows()) {
    const amount = amounts.get(row.dataset.vector) ?? 0;
    const range = row.querySelector("[type=range]");
    if (Number(range.value) !== amount) range.value = amount;
    range.style.setProperty("--filled", `${50 + 50 * amount / FARTHEST}%`);
    row.querySelector("output").textContent = amount ? `${amount > 0 ? "+" : "−"}${
      Math.abs(amount).toFixed(1)}` : "0";
  }
  const isMoved = [...amounts.values()].some(Boolean);
  for (const [name, may] of [["use", isMoved], ["reset", isMoved], ["undo", past.length]])
    root().querySelector(`[data-do=${name}]`).disabled = !may;
}

function move(vector, amount) {
  amounts.set(vector, Math.max(-FARTHEST, Math.min(FARTHEST, amount)));
  showAmounts();
  follow();
}

// One question at a time; of the moves meanwhile, only the last one counts.
async function follow() {
  isWanted = true;
  if (isAsking) return;
  isAsking = true;
  try {
    while (isWanted) {
      isWanted = false;
      const asked = of();
      const there = new Set(rows().map((row) => row.dataset.vector));
      const moves = [...amounts].filter(([vector, amount]) => amount && there.has(vector));
      const found = await Promise.race([
        server.follow({...JSON.parse(asked), moves}), orNull(PATIENCE)]);
      if (asked !== of()) continue;  // an event has brought another sample meanwhile
      if (!found) { trigger("click", {do: "look"}); return; }  // which says what is wrong
      latent = found.latent;
      root().querySelector(".gl-edited img").src = found.picture;
    }
  } finally {
    isAsking = false;
  }
}

function showStrip(row) {
  const image = row.querySelector("img"), uri = drawn.get(row.dataset.vector);
  if (uri && image.hidden) { image.src = uri; image.hidden = false; }
  return Boolean(uri);
}

async function drawStrips() {
  if (isDrawing) return;
  isDrawing = true;
  try {
    for (;;) {
      const asked = of();
      const next = rows().filter((row) => !showStrip(row)).slice(0, AT_ONCE);
      if (!next.length) return;
      const vectors = next.map((row) => row.dataset.vector);
      const found = await Promise.race([
        server.draw_strips({...JSON.parse(asked), vectors}), orNull(PATIENCE)]);
      if (asked !== of()) continue;
      if (!found) return;
      found.forEach((uri, i) => drawn.set(vectors[i], uri));
    }
  } finally {
    isDrawing = false;
  }
}

function renew() {
  if (!props.value) return;
  place.innerHTML = props.value;
  if (of() !== shownOf) {
    const isAnother = shownOf && JSON.parse(shownOf).model !== JSON.parse(of()).model;
    if (isAnother) past = [];
    amounts = restored ?? new Map();
    drawn = new Map();
    shownOf = of();
  }
  restored = null;
  latent = JSON.parse(of()).latent;
  showAmounts();
  if (root().dataset.pending === "1") trigger("submit");
  else {
    drawStrips();
    if ([...amounts.values()].some(Boolean)) follow();
  }
}

place.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  before ??= state();
  move(rowOf(event.target).dataset.vector, Number(event.target.value));
});

place.addEventListener("change", (event) => {
  const row = rowOf(event.target);
  if (event.target.type === "range") {
    if (before) { remember(before); before = null; showAmounts(); }
  } else if (row) name(row);
});

function name(row) {
  const field = row.querySelector("[type=text]"), text = field.value.trim();
  if (!text) field.value = field.defaultValue;
  else trigger("click", {do: row.dataset.place ? "rename" : "keep", ...row.dataset, name: text});
}

place.addEventListener("keydown", (event) => {
  if (event.target.type !== "text") return;
  if (event.key === "Enter") event.target.blur();
  if (event.key === "Escape") { event.target.value = event.target.defaultValue; event.target.blur(); }
});

place.addEventListener("click", (event) => {
  const does = event.target.closest("button")?.dataset.do, row = rowOf(event.target);
  if (does === "keep") name(row);
  else if (does === "delete") trigger("click", {do: "delete", ...row.dataset});
  else if (does === "use") { remember(state()); trigger("click", {do: "use", latent}); }
  else if (does === "reset") { remember(state()); amounts = new Map(); showAmounts(); follow(); }
  else if (does === "undo") undo();
  else if (event.target.matches(".gl-along img")) {
    const box = event.target.getBoundingClientRect();
    const cell = Math.min(Math.floor((event.clientX - box.left) / box.width * STEPS), STEPS - 1);
    remember(state());
    move(row.dataset.vector, cell - (STEPS - 1) / 2);
  }
});

function undo() {
  const was = past.pop();
  if (!was) return;
  if (was.latent !== state().latent) {
    restored = was.amounts;
    trigger("click", {do: "use", latent: was.latent});
  } else {
    amounts = was.amounts;
    showAmounts();
    follow();
  }
}

renew();  // it may have come before this script
watch("value", renew);
