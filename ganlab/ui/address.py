"""The page's address: a link to what is looked at.

In Train and Transfer that is a run; in Blend and Browse, which write what they show by themselves,
the run is left out: whoever gets a link to a mix need not get a run with it.
"""

# Which tab is open, not which one told so: while a page loads, the first one may tell last.
_OPEN = """
  const open = document.querySelector("#tabs [role=tab][aria-selected=true]");
  const tab = open?.textContent.trim().toLowerCase() ?? "train";
  const url = new URL(window.location), isOfRun = tab === "train" || tab === "transfer";"""

SHOW_TAB = f"""(run) => {{{_OPEN}
  if (tab === "train" && !url.searchParams.has("tab")) return;  // where every visit begins
  const linked = run || url.searchParams.get("run");  // while a page loads, it has no run yet
  url.searchParams.set("tab", tab);
  isOfRun && linked ? url.searchParams.set("run", linked) : url.searchParams.delete("run");
  window.history.replaceState({{}}, "", url);
}}"""

SHOW_RUN = f"""(run) => {{{_OPEN}
  run && isOfRun ? url.searchParams.set("run", run) : url.searchParams.delete("run");
  window.history.replaceState({{}}, "", url);
}}"""
