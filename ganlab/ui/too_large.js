// A file that is larger than the server takes is not even begun to be sent, and is named. (Those
// within a folder that is dropped are not seen here: gradio refuses them in its words.)
const most = Number(element.querySelector("[data-most]").dataset.most);

// What gradio leaves out by itself, because of its kind, does not matter.
const isTaken = (file, input) => {
  const kinds = (input?.accept ?? "").split(",").map((kind) => kind.trim()).filter(Boolean);
  return !kinds.length || kinds.some((kind) => kind.startsWith(".")
    ? file.name.toLowerCase().endsWith(kind.toLowerCase())
    : file.type.startsWith(kind.replace("*", "")));
};
const isRefused = (event, files, input) => {
  const large = [...(files ?? [])].find((file) => file.size > most && isTaken(file, input));
  if (!large) return false;
  event.preventDefault();
  event.stopImmediatePropagation();
  const isOfPictures = Boolean(input?.webkitdirectory || input?.closest("#pictures"));
  trigger("input", {name: large.name, isOfPictures});
  return true;
};
document.addEventListener("change", (event) => {
  const input = event.target;
  if (isRefused(event, input.files, input)) input.value = "";  // it can be chosen again
}, true);
document.addEventListener("drop", (event) => {
  const zone = event.target.closest(":has(input[type=file])");
  if (isRefused(event, event.dataTransfer?.files, zone?.querySelector("input[type=file]")))
    event.target.dispatchEvent(new DragEvent("dragleave", {bubbles: true}));  // nothing hovers now
}, true);
