// The time machine. It asks the server for the moments of a run and for the pictures of those that it
// lacks, keeps them, and shows one of them: so the slider and playing ask for nothing. While the run
// trains and somebody looks, it asks now and then what is new.
const PATIENCE = 30000;  // ms until a question counts as lost
const EVERY = 2000, PACE = 250, SETTLING = 150;  // ms

const place = element.querySelector(".gl-time");
place.innerHTML = `
  <p class="gl-note" role="status"></p>
  <figure hidden>
    <div class="gl-time-stage">
      <div class="gl-time-grid"><div class="gl-labels"></div><img alt=""></div>
      <div class="gl-time-one" hidden><img alt=""><span></span></div>
    </div>
    <div class="gl-time-bar">
      <button type="button" class="gl-play"><i></i><span>Play</span></button>
      <div class="gl-time-track">
        <input type="range" min="0" step="1" aria-label="Moment">
        <div class="gl-time-ticks" aria-hidden="true"></div>
        <div class="gl-time-ends" aria-hidden="true"><span></span><span>Now</span></div>
      </div>
    </div>
    <figcaption></figcaption>
    <p class="gl-note">Every picture keeps its latent vector: only the generator changes.</p>
  </figure>`;
const find = (selector) => place.querySelector(selector);
const note = find("[role=status]"), figure = find("figure"), slider = find("input");
const button = find("button"), ticks = find(".gl-time-ticks");
const card = element.closest("#time-card");

let plan = null;           // what the server said last of the moments
let of = "";               // the inputs, as text, that the plan and the pictures belong to
let pictures = new Map();  // [grid, one] by step
let at = null;             // the step that is looked at; null = the right end, which follows the run
let isTouched = false, isAsking = false, isWanted = false, playing = null;

const isSeen = () => element.isConnected && element.offsetParent !== null && !document.hidden;
const modelOf = (text) => text ? JSON.parse(text)[0] : "";
const last = () => plan.moments.length - 1;

function index() {
  const found = plan.moments.findIndex(({step}) => step === at);
  return found < 0 ? last() : found;
}

async function asked(question) {
  return Promise.race([
    question.catch(() => undefined),
    new Promise((go) => setTimeout(go, PATIENCE)),
  ]);
}

// One question at a time; what is wanted meanwhile comes after it.
async function refresh() {
  isWanted = true;
  if (isAsking) return;
  isAsking = true;
  try {
    while (isWanted && props.value && isSeen()) {
      isWanted = false;
      const text = props.value, inputs = JSON.parse(text);
      const known = text === of && plan ? plan.known : "";
      const said = await asked(server.moments({of: inputs, known}));
      if (props.value !== text) isWanted = true;
      else if (said === undefined) say("The server does not answer just now.");
      else {
        if (said) take(said, text);
        else say("");
        await load(inputs, text);
      }
    }
  } finally {
    isAsking = false;
  }
}

function take(said, text) {
  if (modelOf(text) !== modelOf(of)) { at = null; isTouched = false; stop(); }
  if (text !== of) pictures = new Map();
  const looked = text === of && at !== null && plan.moments.find(({step}) => step === at);
  of = text;
  plan = said;
  // What somebody looks at stays there, also if the run does not keep it any more.
  if (looked && plan.moments.length && !plan.moments.some(({step}) => step === at)) {
    plan.moments.push(looked);
    plan.moments.sort((a, b) => a.step - b.step);
  }
  const steps = new Set(plan.moments.map(({step}) => step));
  for (const step of pictures.keys()) if (!steps.has(step)) pictures.delete(step);
  say(plan.why);
  const hasPast = plan.moments.length > 0;
  figure.hidden = !hasPast;
  card?.classList.toggle("gl-no-past", !hasPast);
  card?.classList.toggle("gl-has-why", !hasPast);
  if (hasPast) lay();
}

function say(words) {
  note.textContent = words;
  note.hidden = !words;
}

// What changes only with another plan.
function lay() {
  const labels = find(".gl-labels");
  labels.replaceChildren(...plan.rows.map((name) => {
    const span = document.createElement("span");
    span.textContent = name;
    return span;
  }));
  labels.hidden = plan.rows.length === 0;
  find(".gl-time-one").hidden = !plan.one;
  find(".gl-time-one span").textContent = plan.one ? `The picked sample, ${plan.one}` : "";
  find(".gl-time-ends span").textContent = plan.first;
  figure.style.setProperty("--ratio", plan.ratio);
  slider.max = Math.max(last(), 1);
  slider.disabled = last() < 1;
  ticks.replaceChildren(...plan.moments.map(({isBest}, i) => {
    const tick = document.createElement("i");
    tick.style.setProperty("--at", last() ? i / last() : 1);
    tick.classList.toggle("gl-best", isBest);
    return tick;
  }));
  show();
}

function show() {
  if (!plan?.moments.length) return;
  const i = index(), {step, label} = plan.moments[i], drawn = pictures.get(step);
  slider.value = i;
  slider.setAttribute("aria-valuetext", label);
  slider.style.setProperty("--filled", `${100 * (last() ? i / last() : 1)}%`);
  const n = pictures.size, all = plan.moments.length;
  const waits = n < all ? ` · Drawing moments: ${n} of ${all}` : "";
  find("figcaption").textContent = label + waits;
  [...ticks.children].forEach((tick, j) => {
    tick.classList.toggle("gl-drawn", pictures.has(plan.moments[j].step));
  });
  figure.classList.toggle("gl-waits", !drawn);
  if (drawn) {
    const grid = find(".gl-time-grid img"), one = find(".gl-time-one img");
    [grid.src, one.src] = [drawn[0], drawn[1] || "data:,"];
    grid.alt = `Samples: ${label}`;
    one.alt = plan.one ? `The picked sample: ${label}` : "";
    figure.dataset.step = step;
  }
  button.querySelector("span").textContent = playing ? "Pause" : "Play";
  button.classList.toggle("gl-playing", Boolean(playing));
  button.disabled = last() < 1;
}

// What is looked at first, then the beginning, then what lies furthest from all that is there.
function missing() {
  const n = plan.moments.length;
  if (!n) return [];
  const have = plan.moments.map(({step}) => pictures.has(step));
  const order = [];
  const wish = (i) => { if (!have[i]) { have[i] = true; order.push(plan.moments[i].step); } };
  wish(index());
  wish(0);
  for (let gap = n; gap >= 1; gap = Math.floor(gap / 2)) for (let i = 0; i < n; i += gap) wish(i);
  return order;
}

// Whether an answer was lost.
const isBehind = () => props.value && (props.value !== of || missing().length > 0);

async function load(inputs, text) {
  let steps;
  const isCurrent = () => props.value === text && of === text && isSeen();
  while (isCurrent() && plan.moments.length && (steps = missing()).length) {
    const reply = await asked(server.pictures({of: inputs, steps}));
    if (!isCurrent()) break;
    if (!reply) { say("The server does not answer just now."); break; }
    for (const [step, grid, one] of reply.drawn) pictures.set(step, [grid, one]);
    if (reply.gone.length) {  // the training keeps others by now, as the next answer will tell
      plan.moments = plan.moments.filter(({step}) => !reply.gone.includes(step));
      plan.known = "";
      lay();
    }
    show();
  }
  if (props.value !== text) isWanted = true;
  if (!isCurrent() || isTouched || !plan.moments.length || missing().length) return;
  isTouched = true;  // once for each generator
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches && last() > 1) play();
}

function play() {
  isTouched = true;
  let i = index();
  if (i >= last()) i = -1;
  const next = () => {
    if (!isSeen()) return;
    i = index();
    if (i >= last()) return stop();
    if (pictures.has(plan.moments[i + 1].step)) go(i + 1);
  };
  stop();
  playing = setInterval(next, PACE);
  i < 0 ? go(0) : show();
}

function stop() {
  clearInterval(playing);
  playing = null;
  show();
}

function go(i) {
  at = i >= last() ? null : plan.moments[i].step;
  show();
}

button.addEventListener("click", () => {
  isTouched = true;
  playing ? stop() : play();
});
slider.addEventListener("input", () => {
  isTouched = true;
  const i = Number(slider.value);
  if (playing) stop();
  go(i);
});

let settling = 0;
const renew = () => {
  clearTimeout(settling);
  settling = setTimeout(refresh, SETTLING);
};
watch("value", renew);
new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && renew())
  .observe(element);
const timer = setInterval(() => {
  if (!element.isConnected) clearInterval(timer);
  else if (isSeen() && (plan?.isUnderWay || isBehind())) refresh();
}, EVERY);
renew();  // the value may have come before this script
