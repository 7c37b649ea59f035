"""The page's address: a link to what is looked at.

In Train and Transfer that is a run; in Blend and Browse, which write what they show by themselves,
the run is left out: whoever gets a link to a mix need not get a run with it.
"""

# Which tab is open, not which one told so: two that are opened at once may tell in any order.
_OPEN = """
  const open = document.querySelector("#tabs [role=tab][aria-selected=true]");
  const tab = open?.textContent.trim().toLowerCase() ?? "train";
  const url = new URL(window.location), isOfRun = tab === "train" || tab === "transfer";"""

# Until a page has turned to what its address asks for (`OPENED`), the address stays: the first tab
# tells that it is open before the server has read which one is meant.
SHOW_TAB = f"""(run) => {{{_OPEN}
  if (document.documentElement.classList.contains("gl-opens")) return;
  if (tab === "train" && !url.searchParams.has("tab")) return;  // where every visit begins
  const linked = run || url.searchParams.get("run");  // while a page loads, it has no run yet
  url.searchParams.set("tab", tab);
  isOfRun && linked ? url.searchParams.set("run", linked) : url.searchParams.delete("run");
  window.history.replaceState({{}}, "", url);
}}"""

OPENED = f"""async (run) => {{
  for (const frame of [1, 2]) await new Promise(requestAnimationFrame);  // then it has turned
  document.documentElement.classList.remove("gl-opens");
  ({SHOW_TAB})(run);
}}"""

SHOW_RUN = f"""(run) => {{{_OPEN}
  run && isOfRun ? url.searchParams.set("run", run) : url.searchParams.delete("run");
  window.history.replaceState({{}}, "", url);
}}"""
