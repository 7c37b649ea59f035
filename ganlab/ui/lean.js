// gradio looks through all events for each component as the page opens, and Svelte has wrapped every
// part of an event in a proxy that notes who reads it: a third of the time until the page is there.
// Nothing in them ever changes; what is neither a plain array nor a plain object, Svelte leaves alone.
(() => {
  class Events extends Array {}
  class Fixed {}
  const events = window.gradio_config.dependencies;
  for (const event of events) {
    Object.setPrototypeOf(event, Fixed.prototype);
    // What follows another event, or a page's end, belongs to no component: gradio would search for
    // that all the same.
    event.targets = event.targets.filter(([component]) => component !== null);
  }
  Object.setPrototypeOf(events, Events.prototype);
})();
