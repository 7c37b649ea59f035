// gradio gives several messages of a kind one frame, and takes all away when the time of the first
// has passed. Here each new one gives the frame anew the time that it takes to read all in it; which
// stands still while nobody sees the page, or somebody is about to click or copy.
const CLOSE = "[data-testid=toast-close]", TEXT = "[data-testid=toast-text]";
const LEAST = 4, PER_LETTER = 0.07, MOST = 40;  // seconds
const timers = new WeakMap();

const restart = (toast) => {
  clearTimeout(timers.get(toast));
  if (document.hidden || toast.matches(":hover, :focus-within")) return;
  const letters = [...toast.querySelectorAll(TEXT)].reduce((n, it) => n + it.innerText.length, 0);
  const seconds = Math.min(LEAST + PER_LETTER * letters, MOST);
  timers.set(toast, setTimeout(() => toast.querySelector(CLOSE)?.click(), 1000 * seconds));
};
const restartAll = () => toasts().forEach(restart);
const toasts = () => document.querySelectorAll("[data-testid=toast-body]");

for (const name of ["mouseover", "mouseout", "focusin", "focusout"])
  document.addEventListener(name, (event) => {
    const toast = event.target.closest?.("[data-testid=toast-body]");
    if (toast) setTimeout(restart, 0, toast);  // once it is where it goes
  });
document.addEventListener("visibilitychange", restartAll);
new MutationObserver((changes) => {
  if (changes.some((change) => change.addedNodes.length)) restartAll();
}).observe(document.querySelector(".toast-wrap"), {childList: true, subtree: true});
