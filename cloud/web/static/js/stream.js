"use strict";
// The live stream of a page: open while somebody can see the page. A browser has six connections to a server without
// HTTP/2; pages that nobody sees would take them all, and the next page would never open.
(() => {
  class Stream extends EventTarget {
    #url;
    #source = null;
    #names = new Set();
    #pass = (event) => this.dispatchEvent(new MessageEvent(event.type, { data: event.data }));
    #follow = () => (document.hidden ? this.#pause() : this.#open());

    constructor(url) {
      super();
      this.#url = url;
      document.addEventListener("visibilitychange", this.#follow);
      this.#follow();
    }

    get readyState() {
      return this.#source?.readyState ?? EventSource.CONNECTING;
    }

    // What changed meanwhile is told then: the address says since when the page is as it is.
    #open() {
      if (this.#source) return;
      this.#source = new EventSource(this.#url);
      this.#source.addEventListener("open", (event) => this.onopen?.(event));
      this.#source.addEventListener("error", (event) => {
        if (this.readyState === EventSource.CLOSED) this.close();
        this.onerror?.(event);
      });
      for (const name of this.#names) this.#source.addEventListener(name, this.#pass);
    }

    #pause() {
      this.#source?.close();
      this.#source = null;
    }

    addEventListener(name, ...more) {
      super.addEventListener(name, ...more);
      if (this.#names.has(name)) return;
      this.#names.add(name);
      this.#source?.addEventListener(name, this.#pass);
    }

    close() {
      document.removeEventListener("visibilitychange", this.#follow);
      this.#source?.close();
    }
  }

  htmx.createEventSource = (url) => new Stream(url);
})();
