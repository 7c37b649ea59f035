// Applies a change, if there is one, to what the browser keeps under KEY, read afresh and
// completed by what is there from the first visit on; gives what that is now, and no change any more.
// What cannot be written (the storage is full, or forbidden) is remembered for as long as the page is
// open, and tried again with the next change.
(change) => {
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  // As RFC 7396 has it; an object in which something changes comes last.
  const merge = (kept, by) => {
    const merged = isObject(kept) ? {...kept} : {};
    for (const [name, value] of Object.entries(by)) {
      const before = merged[name];
      if (value === null || isObject(value)) delete merged[name];
      if (value !== null) merged[name] = isObject(value) ? merge(before, value) : value;
    }
    return merged;
  };
  const unwritten = (window.ganlabUnwritten ??= {})[KEY] ??= [];
  if (change) unwritten.push(JSON.parse(change));
  const first = FIRST;
  let kept;
  try {
    kept = JSON.parse(localStorage.getItem(KEY));
  } catch (error) {
    console.warn("What this browser keeps cannot be read:", error);
  }
  const absent = Object.entries(first).filter(([name]) => !(isObject(kept) && name in kept));
  if (absent.length) unwritten.unshift(Object.fromEntries(absent));
  kept = [{}, ...unwritten].reduce(merge, kept);
  if (unwritten.length) try {
    localStorage.setItem(KEY, JSON.stringify(kept));
    unwritten.length = 0;
  } catch (error) {
    console.warn("This browser keeps nothing more:", error);
  }
  return [kept, ""];
}
