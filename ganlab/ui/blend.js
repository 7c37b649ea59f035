// The picture: which cell is clicked, the address that shows it again, and requests of its own, by
// which it follows the mixers in half the time of an event.
const PATIENCE = 8000;  // ms until a question counts as lost
const REST = 150;  // ms without a move until a hand rests
const place = element.querySelector(".gl-live");
const figure = () => place.querySelector("[data-columns]");
let settled = 0, settledAt = 0, isWanted = false, isAsking = false;

element.addEventListener("click", (event) => {
  const image = event.target.closest("img");
  if (!image || !figure()) return;
  const box = image.getBoundingClientRect(), columns = Number(figure().dataset.columns);
  const side = box.width / columns;
  const cell = Math.floor((event.clientY - box.top) / side) * columns
    + Math.floor((event.clientX - box.left) / side);
  trigger("click", {cell});
});

const mixer = (id) => document.querySelector(`#${id} .gl-mixer`);
const mixOf = (id) => mixer(id)?.shares() ?? [];
const query = () => figure()?.dataset.query;
const agrees = (id, said) => {  // whether a mixer has the shares of what is shown
  const shares = mixOf(id), shown = said.split(",").map(Number);
  return shares.length !== shown.length || shares.every((s, i) => Math.abs(s - shown[i]) < 2e-4);
};
const isBehind = () => {
  const {shares, texture} = figure().dataset;
  return !agrees("mixer", shares) || (texture !== "" && !agrees("texture-mixer", texture));
};

// All samples, or the first rows over what is shown, until a hand rests.
function show(html) {
  const next = document.createElement("template");
  next.innerHTML = html;
  const shown = figure(), first = next.content.querySelector("[data-first]");
  if (first && shown) {
    const image = first.querySelector("img"), rows = document.createElement("div");
    rows.className = "gl-first-rows";
    rows.style.aspectRatio = `${image.getAttribute("width")} / ${image.getAttribute("height")}`;
    rows.style.backgroundImage = `url(${image.src})`;
    shown.querySelector(".gl-first-rows")?.remove();
    shown.querySelector(".gl-picture").append(rows);
    shown.querySelector("figcaption").replaceWith(first.querySelector("figcaption"));
    Object.assign(shown.dataset, first.dataset);
  } else place.replaceChildren(next.content);
  clearTimeout(settled);  // not with each picture of a drag: browsers limit and charge for it
  settled = setTimeout(settle, Date.now() - settledAt > 1000 ? 0 : 300);
}

function settle() {
  settledAt = Date.now();
  if (!query() || !element.offsetParent) return;  // another tab is looked at
  window.history.replaceState({}, "", `?${query()}`);
  if (isBehind()) follow();  // an event that was asked before the last move came after it
}

// One question at a time; of the moves meanwhile, only the last one counts.
async function follow() {
  isWanted = true;
  if (isAsking) return;
  isAsking = true;
  let moves = true;
  try {
    while (isWanted) {
      isWanted = false;
      const before = query();
      const html = await Promise.race([
        server.follow({query: before, of: mixer("mixer").dataset.of, shares: mixOf("mixer"),
          texture: mixOf("texture-mixer"), width: window.innerWidth, moves}),
        new Promise((go) => setTimeout(go, PATIENCE)),
      ]);
      if (before !== query()) isWanted = true;  // an event has changed something else meanwhile
      else if (html) {
        show(html);
        moves = true;
        if (figure().dataset.first && !isWanted) {  // the other rows are still to come
          await new Promise((go) => setTimeout(go, REST));
          moves = isWanted;
          isWanted ||= figure()?.dataset.first !== undefined;
        }
      } else {  // refused or, gradio tells of it by nothing, failed
        place.querySelector(".gl-first-rows")?.remove();
        isWanted = false;
        askByEvent();
      }
    }
  } finally {
    isAsking = false;
  }
}

function askByEvent() {
  props.value = "";  // or the same figure as that of the last event would be no news
  trigger("input");
}

document.addEventListener("gl-mix", (event) => {
  const isOwn = event.target.closest("#mixer, #texture-mixer");
  // What the note says is wrong is for an event to take back.
  if (!isOwn || !query() || document.querySelector("#blend-note .gl-mistake")) return;
  event.preventDefault();
  follow();
});
const renew = () => props.value && show(props.value);
renew();  // it may have come before this script
watch("value", renew);
