// A page that comes back to a run must ask for it first: until that has been answered, it does not
// offer to begin another one. (`RECALLED` in wiring.py takes the word back.) Nor does it change the
// address before it has turned to what that asks for. (`OPENED` in address.py.)
(() => {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem("ganlab.runs"))?.run;
  } catch (error) {
    console.warn("What this browser keeps cannot be read:", error);
  }
  const isRecalled = kept || new URL(window.location).searchParams.get("run");
  document.documentElement.classList.add("gl-opens");
  document.documentElement.classList.toggle("gl-recalls", Boolean(isRecalled));
})();
