"use strict";
// Times that go on while a page is open, or was kept: [data-due] counts down to a time (data-in-time and data-overdue
// have {} where a duration belongs), [data-since] counts up (data-words). The page says in #strip what time it is.
self.anlanCountdown = (() => {
  const TICK_MS = 1000;
  const OFFSET = "anlan-clock";
  const fill = (text, value) => text.replace("{}", value);

  // How far the phone's clock is from the server's; a kept page cannot tell, so the last one that could is remembered.
  const learnOffset = () => {
    const now = document.getElementById("strip")?.dataset.now;
    if (document.documentElement.dataset.keptAt || !now) return Number(localStorage.getItem(OFFSET) ?? 0);
    const offset = Date.now() - Number(now);
    localStorage.setItem(OFFSET, String(offset));
    return offset;
  };

  const unit = (value, name) => {
    const format = { style: "unit", unit: name, unitDisplay: "long" };
    const text = new Intl.NumberFormat(document.documentElement.lang, format).format(value);
    return text.replace(/(\d)(?=[^\d\s.,])/u, "$1 ");
  };

  // The same words as the server's.
  const duration = (ms) => {
    const seconds = Math.round(Math.abs(ms) / 1000);
    const minutes = Math.floor(seconds / 60);
    const hours = Math.floor(minutes / 60);
    const days = Math.floor(hours / 24);
    const two = (large, name, small, smaller) => unit(large, name) + (small > 0 ? ` ${unit(small, smaller)}` : "");
    if (seconds < 60) return unit(seconds, "second");
    if (minutes < 60) return unit(minutes, "minute");
    return hours < 24 ? two(hours, "hour", minutes % 60, "minute") : two(days, "day", hours % 24, "hour");
  };

  const clock = (at) => new Date(at).toLocaleTimeString("zh-CN", { hour: "2-digit", minute: "2-digit", hour12: false });

  const offset = learnOffset();

  // Only what changes: somebody may have it selected, or read to them.
  const say = (element, words, ms) => {
    const text = fill(words, duration(ms));
    if (element.textContent !== text) element.textContent = text;
  };

  const tick = () => {
    const now = Date.now() - offset;
    for (const element of document.querySelectorAll("[data-due]")) {
      const rest = Number(element.dataset.due) - now;
      say(element, rest > 0 ? element.dataset.inTime : element.dataset.overdue, rest);
      if (rest <= 0) element.closest(".left").classList.add("red");
    }
    for (const element of document.querySelectorAll("[data-since]")) {
      const passed = now - Number(element.dataset.since);
      if (passed >= 1000) say(element, element.dataset.words, passed); // until then the server's words: just now
    }
  };

  tick();
  setInterval(tick, TICK_MS);
  return { tick, clock };
})();
