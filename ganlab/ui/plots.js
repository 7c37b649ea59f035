// gradio's plots go on watching the size of what they have drawn into when it has left the page, and
// fail at the news that it has none.
window.ResizeObserver = class extends ResizeObserver {
  constructor(tell) {
    super((changes, observer) => {
      const here = changes.filter((change) => change.target.isConnected);
      if (here.length) tell(here, observer);
    });
  }
};
