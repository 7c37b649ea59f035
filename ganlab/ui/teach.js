// Samples to be marked as with or without something; their marks stay while others are drawn.
const MOST = 200, PATIENCE = 8000;
const STATES = ["", "with", "without"], WORDS = {"": "not marked", with: "with", without: "without"};
const part = (selector) => element.querySelector(selector);
const grid = part(".gl-marks"), field = part("[type=text]");
const button = (does) => part(`[data-do=${does}]`);
let of = "", isAsking = false, isSeen = false;

const tiles = () => [...grid.children];
const marked = (as) => tiles().flatMap((tile, i) => (tile.dataset.mark === as ? [i] : []));

function show() {
  const counts = [marked("with").length, marked("without").length];
  part(".gl-counts").textContent = `${counts[0]} with, ${counts[1]} without`;
  button("teach").disabled = Math.min(...counts) < 2;
  button("more").disabled = isAsking || tiles().length >= MOST;
}

function label(tile, i) {
  tile.setAttribute("aria-label", `Sample ${i + 1}: ${WORDS[tile.dataset.mark]}`);
}

async function more() {
  if (isAsking || !of) return;
  isAsking = true;
  show();
  const asked = of;
  try {
    const found = await Promise.race([
      server.more({...JSON.parse(of), start: tiles().length}),
      new Promise((go) => setTimeout(() => go(null), PATIENCE))]);
    if (asked !== of) return;
    for (const uri of found ?? []) {
      const tile = document.createElement("button"), image = document.createElement("img");
      tile.type = "button";
      tile.dataset.mark = "";
      image.src = uri;
      image.alt = "";
      tile.append(image);
      label(tile, tiles().length);
      grid.append(tile);
    }
  } finally {
    isAsking = false;
    show();
    if (asked !== of) more();
  }
}

function renew() {
  const next = document.createElement("div");
  next.innerHTML = props.value || "";
  const now = next.firstElementChild?.dataset.of ?? "";
  if (now === of) return;
  of = now;
  grid.replaceChildren();
  show();
  if (isSeen) more();
}

element.addEventListener("click", (event) => {
  const pressed = event.target.closest("button");
  if (!pressed) return;
  if (pressed.dataset.do === "more") more();
  else if (pressed.dataset.do === "teach") {
    if (!field.value.trim()) { field.focus(); return; }
    trigger("click", {do: "teach", name: field.value, ...JSON.parse(of),
      with: marked("with"), without: marked("without")});
  } else if (grid.contains(pressed)) {
    pressed.dataset.mark = STATES[(STATES.indexOf(pressed.dataset.mark) + 1) % STATES.length];
    label(pressed, tiles().indexOf(pressed));
    show();
  }
});

// Nothing is drawn before somebody opens the section.
new IntersectionObserver((entries) => {
  isSeen = entries.some((entry) => entry.isIntersecting);
  if (isSeen && !tiles().length) more();
}).observe(element);
renew();
watch("value", renew);
