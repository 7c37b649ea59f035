// gradio opens a dropdown's list at each key but Escape, a moment after the key: by Tab, the visitor
// is elsewhere by then, and the list stays open. So it does not hear of keys that choose nothing.
const CHOOSE_NOTHING = ["Tab", "Shift", "Control", "Alt", "Meta"];
document.addEventListener("keydown", (event) => {
  const isOfDropdown = event.target.matches?.("input[role=combobox]");
  if (isOfDropdown && CHOOSE_NOTHING.includes(event.key)) event.stopPropagation();
}, true);
