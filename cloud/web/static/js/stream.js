"use strict";
// The live stream of a page ends with the page. A browser may keep a page that was left, to come back to it quickly, and
// with the page its connection; it has six for one server, so that the seventh page would wait for ever.
(() => {
  const create = htmx.createEventSource;
  let source;

  htmx.createEventSource = (address) => {
    source = create(address);
    return source;
  };
  window.addEventListener("pagehide", () => source?.close());
  // What a page shows that one comes back to is old, and its stream has ended.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
