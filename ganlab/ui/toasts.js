// gradio gives several messages of a kind one frame, and takes all away when the time of the first
// has passed. Here each new one gives the frame anew the time that it takes to read all in it; which
// stands still while nobody sees the page, or somebody is about to click or copy.
const TOAST = "[data-testid=toast-body]";
const CLOSE = "[data-testid=toast-close]", TEXT = "[data-testid=toast-text]";
const GOES_ON = "button, [role=tab]";
const LEAST = 4, PER_LETTER = 0.07, MOST = 40;  // seconds
const wrap = document.querySelector(".toast-wrap");
const timers = new WeakMap(), since = new WeakMap();

// On a phone they would lie over the tabs. Within another page gradio alone knows what is in view.
if (window.parent === window && matchMedia("(max-width: 640px)").matches)
  Object.assign(wrap.style, {top: "auto", bottom: "12px"});

// What a finger has touched last can count as hovered until it touches something else.
const points = matchMedia("(hover: hover)");
const isHeld = (toast) =>
  toast.matches(":focus-within") || (points.matches && toast.matches(":hover"));
const restart = (toast) => {
  clearTimeout(timers.get(toast));
  if (document.hidden || isHeld(toast)) return;
  const letters = [...toast.querySelectorAll(TEXT)].reduce((n, it) => n + it.innerText.length, 0);
  const seconds = Math.min(LEAST + PER_LETTER * letters, MOST);
  timers.set(toast, setTimeout(() => toast.querySelector(CLOSE)?.click(), 1000 * seconds));
};

for (const name of ["mouseover", "mouseout", "focusin", "focusout"])
  document.addEventListener(name, (event) => {
    const toast = event.target.closest?.(TOAST);
    if (toast) setTimeout(restart, 0, toast);  // once it is where it goes
  });
document.addEventListener("visibilitychange", () =>
  document.querySelectorAll(TOAST).forEach(restart));
new MutationObserver((changes) => {
  const added = changes.flatMap((change) => [...change.addedNodes].map((node) =>
    node.querySelector?.(TOAST) ?? change.target.closest(TOAST)));
  new Set(added.filter(Boolean)).forEach((toast) => {
    since.set(toast, Date.now());
    restart(toast);
  });
}).observe(wrap, {childList: true, subtree: true});
// Who goes on has read what was there.
document.addEventListener("click", (event) => {
  if (!event.isTrusted || event.target.closest(TOAST) || !event.target.closest(GOES_ON)) return;
  for (const toast of document.querySelectorAll(TOAST))
    if (Date.now() - since.get(toast) > 1000 * LEAST) toast.querySelector(CLOSE).click();
}, true);
