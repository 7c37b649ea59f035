// The picture: which cell is clicked, the address that shows it again, and a short way to the
// server, by which it follows the mixers in half the time of an event.
const place = element.querySelector(".gl-live");
const figure = () => place.querySelector("[data-columns]");
let settled = 0, isWanted = false, isAsking = false;

element.addEventListener("click", (event) => {
  const image = event.target.closest("img");
  if (!image || !figure()) return;
  const box = image.getBoundingClientRect(), columns = Number(figure().dataset.columns);
  const side = box.width / columns;
  const cell = Math.floor((event.clientY - box.top) / side) * columns
    + Math.floor((event.clientX - box.left) / side);
  trigger("click", {cell});
});

const mixOf = (id) => document.querySelector(`#${id} .gl-mixer`)?.shares() ?? [];
const query = () => figure()?.dataset.query;
const agrees = (id, said) => {  // whether a mixer has the shares of what is shown
  const shares = mixOf(id), shown = said.split(",").map(Number);
  return shares.length !== shown.length || shares.every((s, i) => Math.abs(s - shown[i]) < 2e-4);
};
const isBehind = () => {
  const {shares, texture} = figure().dataset;
  return !agrees("mixer", shares) || (texture !== "" && !agrees("texture-mixer", texture));
};

function show(html) {
  place.innerHTML = html;
  clearTimeout(settled);  // not with each picture of a drag: browsers limit and charge for it
  settled = setTimeout(settle, 300);
}

function settle() {
  if (!query() || !element.offsetParent) return;  // another tab is looked at
  const run = new URL(window.location).searchParams.get("run");
  const kept = run ? `&run=${encodeURIComponent(run)}` : "";
  window.history.replaceState({}, "", `?${query()}${kept}`);
  if (isBehind()) follow();  // an event that was asked before the last move came after it
}

// One question at a time; of the moves meanwhile, only the last one counts.
async function follow() {
  isWanted = true;
  if (isAsking) return;
  isAsking = true;
  try {
    while (isWanted) {
      isWanted = false;
      const before = query();
      const html = await server.follow({query: before, shares: mixOf("mixer"),
        texture: mixOf("texture-mixer"), width: window.innerWidth});
      if (before !== query()) isWanted = true;  // an event has changed something else meanwhile
      else if (html) show(html);
      else { trigger("input"); return; }  // which says what is wrong
    }
  } catch (error) {
    console.warn("the short way failed", error);
    trigger("input");
  } finally {
    isAsking = false;
  }
}

document.addEventListener("gl-mix", (event) => {
  if (!query() || !event.target.closest("#mixer, #texture-mixer")) return;
  event.preventDefault();
  follow();
});
watch("value", () => show(props.value ?? ""));
