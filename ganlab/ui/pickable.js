// A click on a cell tells which latent vector it is of: the bytes of its row among those of all.
element.addEventListener("click", (event) => {
  const button = event.target.closest(".gl-cells button");
  if (!button) return;
  if ("remove" in button.dataset) {
    trigger("input", {remove: button.dataset.remove});
    return;
  }
  const {z, heads} = button.closest(".gl-cells").dataset, names = JSON.parse(heads);
  const all = atob(z), length = all.length / names.length, at = Number(button.dataset.at);
  document.querySelectorAll(".gl-cells [aria-pressed]").forEach((other) =>
    other.removeAttribute("aria-pressed"));
  button.setAttribute("aria-pressed", "true");
  const own = btoa(all.slice(at * length, (at + 1) * length));
  trigger("click", {latent: JSON.stringify({head: names[at], z: own})});
});

// The address is a link to what is shown, if that says how.
const settle = () => {
  const query = element.querySelector("[data-query]")?.dataset.query;
  if (!query || !element.offsetParent) return;
  window.history.replaceState({}, "", `?${query}`);
};
settle();
watch("value", settle);
