// Sliders and a pad that say the same: how much of each part is in the mix. The shares in
// props.value always sum to 1; what is locked keeps its share, and the others make room.
const SVG = "http://www.w3.org/2000/svg";
const root = element.querySelector(".gl-mixer");
let corners = [], rows = [], point = null, past = [], faces = [];

const names = () => props.value?.names ?? [];
const shares = () => props.value?.shares ?? [];
const locks = () => props.value?.locks ?? names().map(() => false);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const draw = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

// What each corner of a polygon weighs at a point: mean value coordinates (Floater 2003). On an
// edge only its two ends count, at a corner only that one.
function weightsAt([x, y]) {
  const to = corners.map(([cx, cy]) => [cx - x, cy - y]);
  const far = to.map(([dx, dy]) => Math.hypot(dx, dy));
  const near = far.findIndex((d) => d < 1e-6);
  if (near >= 0) return far.map((_, i) => (i === near ? 1 : 0));
  const n = corners.length, tangents = [];
  for (let i = 0; i < n; i++) {
    const j = (i + 1) % n;
    const cross = to[i][0] * to[j][1] - to[i][1] * to[j][0];
    const dot = to[i][0] * to[j][0] + to[i][1] * to[j][1];
    if (Math.abs(cross) < 1e-6 * far[i] * far[j] && dot <= 0)  // on this edge
      return far.map((_, k) => (k === i ? far[j] : k === j ? far[i] : 0) / (far[i] + far[j]));
    tangents.push((far[i] * far[j] - dot) / cross);
  }
  const raw = far.map((d, i) => (tangents[(i + n - 1) % n] + tangents[i]) / d);
  return raw.map((w) => w / sum(raw));
}

function nearestOnEdge([x, y], [ax, ay], [bx, by]) {
  const dx = bx - ax, dy = by - ay;
  const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
  return [ax + t * dx, ay + t * dy];
}

// The point itself, or the nearest one of the pad if it lies outside.
function inside(p) {
  const n = corners.length;
  const isIn = n > 2 && corners.every(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % n];
    return (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) >= 0;
  });
  if (isIn) return p;
  const found = corners.map((c, i) => nearestOnEdge(p, c, corners[(i + 1) % n]));
  const distance = (q) => Math.hypot(q[0] - p[0], q[1] - p[1]);
  return found.reduce((a, b) => (distance(b) < distance(a) ? b : a));
}

// The wanted shares of what is not locked, scaled to the room that the locked ones leave.
function fitted(wanted, held = locks()) {
  const now = shares();
  const room = 1 - sum(now.filter((_, i) => held[i]));
  const free = sum(wanted.filter((_, i) => !held[i]));
  const open = held.filter((h) => !h).length;
  return now.map((s, i) => (held[i] ? s : free > 1e-9 ? (wanted[i] * room) / free : room / open));
}

function slide(place, wanted) {
  const held = locks(), now = shares();
  const room = 1 - sum(now.filter((_, i) => held[i] && i !== place));
  const share = Math.min(Math.max(wanted, 0), room);
  const others = now.map((s, i) => (i === place || held[i] ? 0 : s));
  const open = now.filter((_, i) => i !== place && !held[i]).length;
  if (!open) return show();
  const rest = room - share, total = sum(others);
  set(now.map((s, i) =>
    i === place ? share : held[i] ? s : total > 1e-9 ? (others[i] * rest) / total : rest / open));
}

function begin() { past.push(shares()); past = past.slice(-50); }
function set(values, more = {}) {
  props.value = {...props.value, shares: values, ...more};
  show();
  // Whoever can follow at once says so; else it is an event like any other.
  const moved = new CustomEvent("gl-mix", {bubbles: true, cancelable: true});
  if (root.dispatchEvent(moved)) trigger("input");
}

function even() { begin(); set(fitted(names().map(() => 1))); }
// Two or three parts: of many, all mixes would look alike.
function random() {
  begin();
  const open = names().map((_, i) => i).filter((i) => !locks()[i]);
  const order = open.map((i) => [Math.random(), i]).sort((a, b) => a[0] - b[0]);
  const chosen = order.slice(0, 2 + (Math.random() < 0.5)).map(([, i]) => i);
  set(fitted(names().map((_, i) => (chosen.includes(i) ? 0.1 - Math.log(Math.random()) : 0))));
}
function undo() {
  const differs = (values) => values.some((s, i) => Math.abs(s - shares()[i]) > 1e-6);
  while (past.length) {
    const values = past.pop();
    if (differs(values)) return set(values);
  }
  show();
}

function place(x, y) {
  const box = root.querySelector("svg").getBoundingClientRect();
  const [, , width, height] = root.querySelector("svg").getAttribute("viewBox").split(" ");
  const p = inside([((x - box.left) / box.width) * width, ((y - box.top) / box.height) * height]);
  set(fitted(weightsAt(p)));
}

// Above or below its corner or, where others are near, beside it.
function buildLabel(name, x, y, side, [across, down], isCrowded) {
  const toSide = isCrowded && Math.abs(x - across) > 1 ? Math.sign(x - across) : 0;
  const isAbove = y < down - 4 && names().length > 2;
  const text = draw("text", toSide
    ? {x: x + toSide * (side / 2 + 6), y: y + 4, class: toSide > 0 ? "gl-right" : "gl-left"}
    : {x, y: isAbove ? y - side / 2 - 6 : y + side / 2 + 14});
  const [most, last] = toSide ? [11, 0] : [20, 8];
  text.textContent = name.length > most
    ? `${name.slice(0, most - last - 1)}…${last ? name.slice(-last) : ""}` : name;
  return text;
}

function buildPad() {
  const n = names().length, isCrowded = n > 5;  // then names stand beside their corners
  const [width, height] = isCrowded ? [400, 296] : [320, n === 2 ? 96 : 250];
  const middle = [width / 2, n === 3 ? 142 : height / 2];
  const radius = isCrowded ? 110 : {3: 108, 4: 114}[n] ?? 92;
  corners = n === 2 ? [[64, 40], [width - 64, 40]] : names().map((_, i) => {
    const turn = (2 * Math.PI * i) / n - Math.PI / 2 + (n === 4 ? Math.PI / 4 : 0);
    return [middle[0] + radius * Math.cos(turn), middle[1] + radius * Math.sin(turn)];
  });
  const svg = draw("svg", {viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true"});
  svg.append(draw("polygon", {points: corners.join(" "), class: "gl-area"}));
  names().forEach((name, i) => {
    const [x, y] = corners[i], corner = draw("g", {class: "gl-corner"});
    const face = faces[i], side = isCrowded ? 30 : 40;
    if (face) corner.append(draw("image", {href: face, x: x - side / 2, y: y - side / 2,
      width: side, height: side}));
    corner.append(draw("rect", {x: x - side / 2, y: y - side / 2, width: side, height: side, rx: 8}));
    corner.append(buildLabel(name, x, y, side, middle, isCrowded));
    const title = draw("title", {});
    title.textContent = `All of ${name}`;
    corner.append(title);
    svg.append(corner);
  });
  point = draw("circle", {r: 9, class: "gl-point"});
  svg.append(point);
  let held = false;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = true;
    svg.setPointerCapture(event.pointerId);
    begin();
    place(event.clientX, event.clientY);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => held && place(event.clientX, event.clientY));
  for (const over of ["pointerup", "pointercancel"])
    svg.addEventListener(over, () => { held = false; });
  return make("div", {class: "gl-pad"}, svg);
}

function buildRow(name, i) {
  const range = make("input", {type: "range", min: 0, max: 100, step: 1, "aria-label": name});
  range.addEventListener("pointerdown", begin);
  range.addEventListener("keydown", (event) => /^(Arrow|Page|Home|End)/.test(event.key) && begin());
  range.addEventListener("input", () => slide(i, range.value / 100));
  const lock = make("button", {type: "button", class: "gl-lock", title: `Lock ${name}`,
    "aria-label": `Lock ${name}`});
  lock.addEventListener("click", () =>
    set(shares(), {locks: locks().map((held, k) => (k === i ? !held : held))}));
  const output = make("output");
  rows.push({range, output, lock});
  return make("li", {}, make("span", {title: name}, name), range, output, lock);
}

function build() {
  rows = [];
  past = [];
  root.dataset.names = JSON.stringify(names());
  if (names().length < 2) { root.replaceChildren(); return; }
  const buttons = [["Even mix", even], ["Random mix", random], ["Undo", undo]].map(([text, act]) => {
    const button = make("button", {type: "button"}, text);
    button.addEventListener("click", act);
    return button;
  });
  root.replaceChildren(buildPad(), make("ul", {}, ...names().map(buildRow)),
    make("div", {class: "gl-mix-buttons"}, ...buttons));
}

function show() {
  const now = shares();
  rows.forEach(({range, output, lock}, i) => {
    range.value = Math.round(100 * now[i]);
    range.style.setProperty("--filled", `${100 * now[i]}%`);
    range.disabled = locks()[i];
    output.textContent = `${Math.round(100 * now[i])} %`;
    lock.setAttribute("aria-pressed", locks()[i]);
  });
  if (!rows.length) return;
  point.setAttribute("cx", sum(corners.map(([x], i) => x * now[i])));
  point.setAttribute("cy", sum(corners.map(([, y], i) => y * now[i])));
  root.querySelector(".gl-mix-buttons button:last-child").disabled = !past.length;
}

function renew() {
  if (props.value?.faces) {  // kept here, or each move of a slider would send them back
    const {faces: pictures, ...rest} = props.value;
    faces = pictures;
    root.dataset.names = "";
    props.value = rest;
  }
  if (root.dataset.names !== JSON.stringify(names()) || root.dataset.of !== props.value?.of) build();
  root.dataset.of = props.value?.of ?? "";
  show();
}
root.shares = shares;
renew();
watch("value", renew);
