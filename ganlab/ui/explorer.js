// The explorer: a point moves through latent space, and a worker in this browser draws what is
// there. The point is a turn of the latent on the sphere that latents lie on, in two directions.
const REACH = 1.4;  // radians from the middle of the pad to its edge
const STEP = 0.06;  // of the pad's half side, by an arrow key
const PAUSE = 1000;  // ms after which a rate is counted anew
// The smallest module with an instruction on vectors.
const VECTORS = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10,
  10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]);
const root = element.querySelector(".gl-explorer");
let worker = null, model = null, isReady = false, isBusy = false, isWanted = false, isWandering = false;
let middle = null, across = null, up = null;  // the sample, and two directions
let at = [0, 0], shares = [], times = [], parts = {}, fresh = null, told = 0, place = "";

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const scaled = (a, factor) => a.map((x) => x * factor);
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const random = () => Float32Array.from({length: model.z_dim}, normal);
// A direction of length 1 at right angles to the others.
function direction(others) {
  let v = random();
  for (const other of others) v = v.map((x, i) => x - (dot(v, other) / dot(other, other)) * other[i]);
  return scaled(v, 1 / Math.sqrt(dot(v, v)));
}

function latent() {
  const far = Math.hypot(...at), turn = far * REACH;
  if (far < 1e-6) return middle;
  const length = Math.sqrt(dot(middle, middle));
  return middle.map((x, i) => Math.cos(turn) * x
    + Math.sin(turn) * length * (at[0] * across[i] + at[1] * up[i]) / far);
}
function weights() {
  const total = shares.reduce((a, b) => a + b, 0);
  return Float32Array.from(shares, (s) => (total > 0 ? s / total : 1 / shares.length));
}

// One picture at a time; of the moves meanwhile, only the last one counts.
function ask() {
  isWanted = true;
  if (!isReady || isBusy) return;
  isBusy = true;
  isWanted = false;
  worker.postMessage({z: latent(), weights: weights()});
}

function hear({data}) {
  if (data.failed) return fail(`The explorer stopped: ${data.failed}.`);
  isBusy = false;
  if (data.opened) {
    isReady = true;
    parts.rate.textContent = "Ready: drag the point";
    return ask();
  }
  root.dataset.ms = data.ms.toFixed(1);
  if (!fresh) requestAnimationFrame(paint);
  fresh = data.drawn;
  if (!element.offsetParent) setWandering(false);  // another view is looked at
  if (isWandering) wander();  // while this one is painted
  else if (isWanted) ask();
}

function paint() {
  if (!fresh) return;  // the explorer has ended meanwhile
  parts.canvas.getContext("2d").putImageData(fresh, 0, 0);
  fresh = null;
  count();
}

function count() {  // what was painted, not what was drawn in vain
  const now = performance.now();
  if (now - (times.at(-1) ?? 0) > PAUSE) times = [];
  times = [...times.slice(-30), now];
  if (times.length < 4 || now - told < 400) return;  // or telling it would cost as much
  told = now;
  const rate = 1000 * (times.length - 1) / (times.at(-1) - times[0]);
  parts.rate.textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} pictures a second`;
  root.dataset.rate = rate.toFixed(1);
}

function move(x, y) {
  const far = Math.max(1, Math.hypot(x, y));
  at = [x / far, y / far];
  parts.point.style.transform = `translate(${50 * at[0]}%, ${-50 * at[1]}%)`;
  ask();
}
function wander() {
  if (!isWandering) return;
  const t = performance.now() / 1000;
  move(0.8 * Math.sin(0.9 * t), 0.8 * Math.sin(1.3 * t + 1));
}
function setWandering(on) {
  isWandering = on;
  parts.wander.setAttribute("aria-pressed", on);
  if (on && isReady && !isBusy) wander();
}
function turn() {
  across = direction([middle]);
  up = direction([middle, across]);
}
function settle(z) {
  middle = z;
  turn();
  setWandering(false);
  move(0, 0);
}

function buildPad() {
  parts.point = make("i", {});
  const pad = make("div", {class: "gl-plane", tabindex: 0, role: "application",
    "aria-label": "Latent space: drag, or use the arrow keys"}, parts.point);
  let held = false;
  const go = (event) => {
    const box = pad.getBoundingClientRect();
    move(2 * (event.clientX - box.left) / box.width - 1, 1 - 2 * (event.clientY - box.top) / box.height);
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = true;
    setWandering(false);
    pad.setPointerCapture(event.pointerId);
    go(event);
  });
  pad.addEventListener("pointermove", (event) => held && go(event));
  for (const over of ["pointerup", "pointercancel"])
    pad.addEventListener(over, () => { held = false; });
  const keys = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
  pad.addEventListener("keydown", (event) => {
    const by = keys[event.key];
    if (!by) return;
    event.preventDefault();
    setWandering(false);
    move(at[0] + STEP * by[0], at[1] + STEP * by[1]);
  });
  return pad;
}

function buildShare(task, i) {
  const range = make("input", {type: "range", min: 0, max: 100, step: 1, "aria-label": task});
  range.addEventListener("input", () => {
    shares[i] = range.value / 100;
    showShares();
    ask();
  });
  const output = make("output");
  parts.rows.push({range, output});
  return make("li", {}, make("span", {title: task}, task), range, output);
}
function showShares() {  // a slider's place is how much of a head; beside it, what part of the mix
  const mix = weights();
  parts.rows.forEach(({range, output}, i) => {
    range.value = 100 * shares[i];
    range.style.setProperty("--filled", `${range.value}%`);
    output.textContent = `${Math.round(100 * mix[i])} %`;
  });
}
function setHead(head) {
  const place = Math.max(model.tasks.indexOf(head), 0);
  shares = model.tasks.map((_, i) => (i === place ? 1 : 0));
  showShares();
}

function button(text, act) {
  const node = make("button", {type: "button"}, text);
  node.addEventListener("click", act);
  return node;
}

function build() {
  const {size, tasks} = model;
  parts = {rows: []};
  parts.canvas = make("canvas", {width: size, height: size, role: "img",
    "aria-label": "The picture at this place of latent space"});
  parts.rate = make("b", {role: "status"});
  parts.rate.textContent = "Getting the generator…";
  parts.wander = button("Wander", () => setWandering(!isWandering));
  const buttons = make("div", {class: "gl-mix-buttons"}, parts.wander,
    button("New place", () => settle(random())),
    button("Other directions", () => { turn(); ask(); }));
  const heads = tasks.length > 1 ? [make("ul", {}, ...tasks.map(buildShare))] : [];
  root.replaceChildren(
    make("figure", {}, parts.canvas, make("figcaption", {}, parts.rate,
      " · drawn in your browser: the server does nothing.")),
    make("div", {class: "gl-mixer"}, buildPad(), buttons, ...heads));
}

function fail(text) {
  end();
  root.replaceChildren(make("p", {class: "gl-mistake"}, text));
  trigger("clear");  // which shows the button again
}
function end() {
  fresh = null;
  place = "";
  worker?.terminate();
  worker = null;
  isReady = isBusy = isWanted = isWandering = false;
}

function begin() {
  if (!window.DecompressionStream || !window.WebAssembly?.validate(VECTORS))
    return fail("This browser cannot run the explorer: it lacks vector instructions of WebAssembly, "
      + "which browsers have had since 2023 at the latest. Everything else works.");
  build();
  const file = (of) => new URL(of.url ?? `${gradio()}/gradio_api/file=${of.path}`, location.href).href;
  worker = new Worker(file(model.worker), {type: "module"});
  worker.onmessage = hear;
  worker.onerror = (event) =>
    fail(`The explorer could not start: ${event.message ?? "its files did not come"}.`);
  worker.postMessage({open: {library: file(model.library), loader: file(model.loader), wasm: file(model.wasm),
    model: file(model.model), size: model.size, channels: model.channels}});
}
const gradio = () => (window.gradio_config?.root ?? "").replace(/\/$/, "");

function goTo() {
  if (!worker || !props.place || props.place === place) return;
  place = props.place;
  const {head, z} = JSON.parse(props.place);
  const bytes = Uint8Array.from(atob(z), (c) => c.charCodeAt(0));
  setHead(head);
  settle(new Float32Array(bytes.buffer));
}

function renew() {
  const next = props.value?.z_dim ? props.value : null;
  if (JSON.stringify(next) === JSON.stringify(model)) return goTo();
  end();
  model = next;
  root.replaceChildren();
  if (!model) return;
  begin();
  goTo();
}
renew();
watch(["value", "place"], renew);
