// A file that is larger than the server takes is not even begun to be sent, and is named.
const most = Number(element.querySelector("[data-most]").dataset.most);

const isRefused = (event, files) => {
  const large = [...(files ?? [])].find((file) => file.size > most);
  if (!large) return false;
  event.preventDefault();
  event.stopImmediatePropagation();
  trigger("input", {name: large.name});
  return true;
};
document.addEventListener("change", (event) => {
  if (isRefused(event, event.target.files)) event.target.value = "";  // it can be chosen again
}, true);
document.addEventListener("drop", (event) => {
  if (isRefused(event, event.dataTransfer?.files))
    event.target.dispatchEvent(new DragEvent("dragleave", {bubbles: true}));  // nothing hovers now
}, true);
