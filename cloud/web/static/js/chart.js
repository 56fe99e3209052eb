"use strict";
// Charts of one point: <div data-chart …>, as the macro `chart` of templates/parts/chart.html writes it. Attributes:
//   data-src     the address that answers the chart's data, without from and to: /api/v1/chart?gateway=…&device=…&point=…
//   data-label   what the point is called
//   data-from, data-to   the span that it begins with, ms UTC
//   data-now     the server's time when it made the page, ms UTC: what is later is not missing, it has not happened yet
//   data-unit, data-factor   in which unit values are shown, and what the store's are multiplied with for it
//   data-words   a JSON object of the texts
//   data-follow  (may be left out) the span ends now, and goes on with the time
//   data-table   (may be left out) selector of a part of the page that shows the same span and is renewed with it
// Inside it: .chart-plot (the drawing; takes the focus), .chart-readout and .chart-message, and, each if it is wanted,
// buttons with data-do="in|out|earlier|later|reset|follow" and links with data-span (ms up to now).
// The page works without it: what it draws stands in a table too. No line is drawn over a gap, missing readings and gaps
// are hatched, and a failed value that is off the scale is marked at the edge, so that it cannot squash the curve.
(() => {
  const POLL_MS = 5000;
  const FEWEST_MS = 10_000; // of a span
  const MOST_MS = 3660 * 86_400_000;
  const NEAR_PX = 12; // of the cursor to a reading
  const USUAL_GAP_MS = 600_000; // where nobody says how often a reading is expected
  const KEPT_AT_MOST = 1900; // readings, while new ones are added to them
  const FAILED = 4;
  const MOST_DIGITS = 9; // of a tick, after the point

  // ---- what is drawn: items (readings, or parts with their extremes) and spans without a value ----

  function itemsOf(answer, factor) {
    const scaled = (value) => (value === null || factor === 1 ? value : value * factor);
    const { readings, parts } = answer;
    if (readings) {
      return readings.times.map((at, i) => {
        const [value, flag] = [scaled(readings.values[i]), readings.flags[i]];
        const [good, failed] = flag === FAILED ? [null, value] : [value, null];
        const counts = { [flag]: 1 };
        const review = readings.reviews[i];
        return { at, from: at, to: at, low: good, high: good, failedLow: failed, failedHigh: failed, tests: readings.tests[i], flag, counts, review };
      });
    }
    return parts.times.map((from, i) => {
      const to = Math.min(from + answer.width_ms, answer.to);
      const counts = {};
      for (const [flag, of] of Object.entries(parts.counts)) if (of[i]) counts[flag] = of[i];
      const [low, high, failedLow, failedHigh] = ["lows", "highs", "failed_lows", "failed_highs"].map((name) => scaled(parts[name][i]));
      return { at: (from + to) / 2, from, to, low, high, failedLow, failedHigh, tests: 0, flag: null, counts };
    });
  }

  const isMissing = (item) => item.high === null && item.failedHigh === null;

  // Marks each item before which a line must break, and returns the spans that are to be hatched.
  function holesOf(items, answer, until) {
    const gap = answer.gap_ms ?? usualGap(items);
    const holes = [];
    let end = Math.max(answer.from, answer.expected_from ?? answer.from);
    for (const [i, item] of items.entries()) {
      item.breaks = i === 0 || item.from - end > gap || (answer.parts && item.from - end >= gap && item.from > end);
      if (item.from - end > gap || (item.breaks && i > 0)) holes.push({ from: end, to: item.from, kind: "none" });
      const next = items[i + 1];
      if (isMissing(item)) {
        const lasts = next && next.from - item.to <= gap ? next.from : item.to;
        const last = holes.at(-1);
        if (last?.kind === "missing" && last.to >= item.from) last.to = Math.max(lasts, item.to);
        else holes.push({ from: item.from, to: Math.max(lasts, item.to), kind: "missing" });
      }
      end = item.to;
    }
    if (Math.min(answer.to, until) - end > gap) holes.push({ from: end, to: Math.min(answer.to, until), kind: "none" });
    return holes;
  }

  function usualGap(items) {
    const steps = items.slice(1).map((item, i) => item.from - items[i].to);
    steps.sort((a, b) => a - b);
    return Math.max(USUAL_GAP_MS, 5 * (steps[steps.length >> 1] ?? 0));
  }

  // The scale is that of the values that can be trusted; of failed ones only where there is nothing else.
  function scaleOf(items, thresholds, least) {
    let [low, high] = extremes(items, "low", "high");
    if (low === Infinity) [low, high] = extremes(items, "failedLow", "failedHigh");
    if (low === Infinity) [low, high] = [0, 1];
    if (high - low < least) [low, high] = around(low, high, least);
    for (const { value } of thresholds) {
      if (high - low > 0 && Math.abs(value - (low + high) / 2) > 8 * (high - low)) continue; // its arrow stands at the edge
      [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    if (low === high) [low, high] = around(low, high, Math.abs(low) / 10 || 1);
    const pad = (high - low) * 0.08;
    return [low >= 0 && low - pad < 0 ? 0 - pad / 2 : low - pad, high + pad];
  }

  function extremes(items, lowName, highName) {
    let [low, high] = [Infinity, -Infinity];
    for (const item of items) {
      if (item[lowName] !== null) low = Math.min(low, item[lowName]);
      if (item[highName] !== null) high = Math.max(high, item[highName]);
    }
    return [low, high];
  }

  function around(low, high, width) {
    const middle = (low + high) / 2;
    const [from, to] = [middle - width / 2, middle + width / 2];
    return low >= 0 && from < 0 ? [0, width] : [from, to];
  }

  // ---- one chart in a page ----

  const round = (value) => Number(value.toPrecision(7));

  class Chart {
    constructor(root) {
      this.root = root;
      const { src, from, to, now, unit, factor, words } = root.dataset;
      Object.assign(this, { src, unit, factor: Number(factor), words: JSON.parse(words) });
      this.ahead = Number(now) - Date.now(); // our clock may be wrong
      this.first = [Number(from), Number(to)];
      [this.from, this.to] = this.first;
      this.box = root.querySelector(".chart-plot");
      this.readout = root.querySelector(".chart-readout");
      this.message = root.querySelector(".chart-message");
      this.firstLink = root.querySelector("[data-span][aria-current]");
      this.number = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 6 });
      this.listen();
      this.follow("follow" in root.dataset);
      this.load();
    }

    // -- asking --

    now() {
      return Date.now() + this.ahead;
    }

    async ask(from, to) {
      this.asking?.abort();
      this.asking = new AbortController();
      const answer = await fetch(`${this.src}&from=${Math.round(from)}&to=${Math.round(to)}`, { signal: this.asking.signal });
      if (!answer.ok) throw new Error(answer.status === 401 ? this.words.sign_in : this.words.failed);
      return answer.json();
    }

    async load() {
      this.root.setAttribute("aria-busy", "true");
      try {
        this.take(await this.ask(this.from, this.to));
      } catch (error) {
        if (error.name === "AbortError") return;
        this.say(error instanceof TypeError ? this.words.failed : error.message);
      }
      this.root.removeAttribute("aria-busy");
    }

    // The newest readings are added to those that are here; parts are asked for anew once another one has begun.
    async advance() {
      const { answer } = this;
      if (document.hidden || !answer || (answer.parts && this.now() - answer.to < answer.width_ms)) return;
      [this.from, this.to] = [this.now() - (this.to - this.from), this.now()];
      if (answer.parts || answer.readings.times.length > KEPT_AT_MOST) return this.load();
      try {
        const last = answer.readings.times.at(-1) ?? 0;
        const more = await this.ask(Math.max(last + 1, this.from), this.to);
        if (more.readings) this.take({ ...more, from: this.from, readings: this.joined(answer.readings, more.readings) });
        else this.load();
      } catch (error) {
        if (error.name !== "AbortError") this.say(this.words.failed);
      }
    }

    joined(known, more) {
      const old = known.times.filter((at) => at < this.from).length;
      return Object.fromEntries(Object.entries(known).map(([name, column]) => [name, [...column.slice(old), ...more[name]]]));
    }

    take(answer) {
      this.answer = answer;
      const items = itemsOf(answer, this.factor);
      const thresholds = answer.thresholds.map(({ value, severity, zh, en }) => {
        const shown = value * this.factor;
        return { value: shown, severity, label: `${document.documentElement.lang === "en" ? en : zh} ${this.value(shown)}` };
      });
      const holes = holesOf(items, answer, this.now());
      const scale = scaleOf(items, thresholds, answer.least_span * this.factor);
      this.view = { items, holes, thresholds, scale, width: answer.width_ms, stepped: answer.stepped };
      this.zone = answer.timezone;
      this.draw();
    }

    // -- drawing --

    draw() {
      const data = [this.view.items.map((item) => item.at), this.view.items.map((item) => item.high ?? item.failedHigh)];
      if (this.plot) this.plot.setData(data);
      else this.plot = new uPlot(this.options(), data, this.box);
      this.say(this.view.items.length ? "" : this.words.empty);
      if (this.index !== undefined) this.tell(this.index);
      this.box.setAttribute("aria-label", this.summary());
      this.root.dataset.ready = String(this.view.items.length);
    }

    options() {
      const colour = (name) => getComputedStyle(this.root).getPropertyValue(name).trim();
      const font = `12px ${getComputedStyle(this.root).fontFamily}`;
      const axis = { font, labelFont: font, stroke: () => colour("--ink-soft"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false } };
      const paint = (draw) => (plot) => draw(new window.ChartPainter(plot, this.view, colour));
      return {
        ...this.size(),
        ms: 1,
        tzDate: (at) => uPlot.tzDate(new Date(at), this.zone),
        padding: [this.unit ? 26 : 12, 12, 0, 0],
        scales: { x: { time: true, range: () => [this.from, this.to] }, y: { range: () => this.view.scale } },
        axes: [
          { ...axis, space: 70, values: (plot, splits) => this.times(splits) },
          { ...axis, size: (plot, values) => 20 + 8 * Math.max(...(values ?? [""]).map((text) => text.length)), values: (plot, splits) => this.ticks(splits) },
        ],
        series: [{}, { stroke: () => colour("--series"), paths: () => null, points: { show: false } }],
        legend: { show: false },
        cursor: { y: false, points: { size: 10, width: 2, fill: () => colour("--surface") }, drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => () => this.do("reset") } },
        hooks: {
          drawClear: [paint((painter) => painter.ground())],
          draw: [paint((painter) => painter.values()), paint((painter) => painter.unit(this.unit))],
          setCursor: [(plot) => this.point(plot)],
          setSelect: [(plot) => this.select(plot)],
        },
      };
    }

    size() {
      return { width: this.box.clientWidth, height: this.box.clientHeight };
    }

    // -- saying --

    say(text) {
      this.message.textContent = text;
      this.message.hidden = !text;
    }

    value(value) {
      return value === null ? "—" : `${this.number.format(round(value))} ${this.unit}`.trim();
    }

    time(at, kind) {
      const kinds = {
        full: { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" },
        clock: { hour: "2-digit", minute: "2-digit" },
        seconds: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
        day: { month: "2-digit", day: "2-digit" },
        month: { year: "numeric", month: "2-digit" },
      };
      return new Intl.DateTimeFormat("zh-CN", { ...kinds[kind], timeZone: this.zone, hourCycle: "h23" }).format(at).replaceAll("/", "-");
    }

    // With as many digits as tell one tick from the next.
    ticks(splits) {
      const step = splits.length > 1 ? splits[1] - splits[0] : 1;
      let digits = 0;
      while (digits < MOST_DIGITS && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6 * step * 10 ** digits) digits += 1;
      const number = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
      return splits.map((value) => number.format(value));
    }

    // Days where a tick is a day or more apart from the next, otherwise times with the day where it begins.
    times(splits) {
      const step = splits[1] - splits[0];
      let day = "";
      return splits.map((at) => {
        if (step >= 25 * 86_400_000) return this.time(at, "month");
        const today = this.time(at, "day");
        if (step >= 86_400_000) return today;
        const clock = this.time(at, step < 60_000 ? "seconds" : "clock");
        const isNew = today !== day;
        day = today;
        return isNew ? `${clock}\n${today}` : clock;
      });
    }

    summary() {
      const [low, high] = extremes(this.view.items, "low", "high");
      const said = low === Infinity ? this.words.empty : `${this.value(low)} – ${this.value(high)}`;
      return `${this.root.dataset.label}: ${this.time(this.from, "full")} – ${this.time(this.to, "full")}: ${said}`;
    }

    tell(index) {
      const item = this.view.items[index];
      if (!item) return;
      const parts = this.view.width ? this.ofPart(item) : this.ofReading(item);
      this.readout.replaceChildren(...parts.filter(Boolean).map((text, i) => Object.assign(document.createElement(i ? "span" : "strong"), { textContent: text })));
    }

    ofReading(item) {
      const why = Object.entries(this.words.tests).filter(([bit]) => item.tests & bit).map(([, text]) => text);
      const flag = item.flag === 1 ? "" : this.words.flags[item.flag];
      const said = item.review ? this.words.reviews[item.review] : "";
      return [this.value(item.high ?? item.failedHigh), this.time(item.at, "full"), [flag, why.join(", ")].filter(Boolean).join(": "), said];
    }

    ofPart(item) {
      const extreme = (low, high) => (low === null ? "" : low === high ? this.value(low) : `${this.value(low)} – ${this.value(high)}`);
      const failed = extreme(item.failedLow, item.failedHigh);
      const counts = Object.entries(item.counts).map(([flag, count]) => `${this.words.flags[flag]} ${count}`);
      return [extreme(item.low, item.high) || "—", `${this.time(item.from, "full")} – ${this.time(item.to, "full")}`, failed && `${this.words.flags[FAILED]}: ${failed}`, counts.join(", ")];
    }

    point(plot) {
      const { left, idx } = plot.cursor;
      if (left < 0 || idx === null || idx === undefined) return;
      const at = plot.posToVal(left, "x");
      const hole = this.view.holes.find((one) => one.from <= at && at <= one.to);
      const isNear = this.view.items[idx] && Math.abs(plot.valToPos(this.view.items[idx].at, "x") - left) < NEAR_PX;
      this.index = idx;
      if (isNear || !hole) return this.tell(idx);
      this.readout.textContent = `${this.words[hole.kind]}: ${this.time(hole.from, "full")} – ${this.time(hole.to, "full")}`;
    }

    // -- moving --

    select(plot) {
      const { left, width } = plot.select;
      if (width < 5) return;
      const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      this.show(from, to);
    }

    // Shows another span; `link` is the one of ours that stands for it, if there is one.
    show(from, to, { follows = false, link = null } = {}) {
      const span = Math.min(Math.max(to - from, FEWEST_MS), MOST_MS);
      const middle = (from + to) / 2;
      [this.from, this.to] = [Math.round(middle - span / 2), Math.round(middle + span / 2)];
      this.index = undefined;
      this.follow(follows);
      this.load();
      for (const other of this.root.querySelectorAll("[data-span][aria-current]")) other.removeAttribute("aria-current");
      link?.setAttribute("aria-current", "true");
      this.showTable(link?.getAttribute("href") ?? `?from=${this.from}&to=${this.to}`);
    }

    showTable(query) {
      const target = this.root.dataset.table;
      if (!target) return;
      const address = location.pathname + query;
      history.replaceState(null, "", address);
      htmx.ajax("GET", address, { source: this.root, target, select: target, swap: "outerHTML" });
    }

    showLast(link) {
      this.show(this.now() - Number(link.dataset.span), this.now(), { follows: true, link });
    }

    do(what) {
      const [span, middle] = [this.to - this.from, (this.from + this.to) / 2];
      const isAtEnd = this.following && this.index === undefined; // then it stays there
      const at = this.index === undefined ? middle : this.view.items[this.index].at;
      const moves = {
        in: () => (isAtEnd ? this.show(this.to - span / 2, this.to, { follows: true }) : this.show(at - span / 4, at + span / 4)),
        out: () => (isAtEnd ? this.show(this.to - span * 2, this.to, { follows: true }) : this.show(middle - span, middle + span)),
        earlier: () => this.show(this.from - span / 2, this.to - span / 2),
        later: () => this.show(this.from + span / 2, this.to + span / 2),
        reset: () => (this.firstLink ? this.showLast(this.firstLink) : this.show(...this.first)),
        follow: () => (this.following ? this.follow(false) : this.show(this.now() - span, this.now(), { follows: true })),
      };
      moves[what]?.();
    }

    follow(following) {
      this.following = following;
      clearInterval(this.timer);
      if (following) this.timer = setInterval(() => this.advance(), POLL_MS);
      this.root.querySelector('[data-do="follow"]')?.setAttribute("aria-pressed", String(following));
    }

    step(by) {
      const last = this.view.items.length - 1;
      const here = this.index ?? (by > 0 ? -1 : last + 1);
      this.index = Math.max(0, Math.min(last, here + by));
      if (last < 0) return;
      this.plot.setCursor({ left: this.plot.valToPos(this.view.items[this.index].at, "x"), top: 0 }, false);
      this.tell(this.index);
    }

    press(event) {
      const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
      const moves = { "+": "in", "=": "in", "-": "out", 0: "reset", PageUp: "earlier", PageDown: "later" };
      if (event.ctrlKey || event.metaKey || event.altKey || !this.plot) return;
      if (event.key in steps) this.step(steps[event.key]);
      else if (event.key in moves) this.do(moves[event.key]);
      else return;
      this.readout.setAttribute("aria-live", "polite");
      event.preventDefault();
    }

    listen() {
      this.root.addEventListener("click", (event) => {
        const asked = event.target.closest("[data-do], [data-span]");
        if (!asked || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        if (asked.dataset.do) return this.do(asked.dataset.do);
        this.showLast(asked);
      });
      this.box.addEventListener("keydown", (event) => this.press(event));
      this.box.addEventListener("pointermove", () => this.readout.removeAttribute("aria-live"));
      new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.box);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plot?.redraw(false, true));
    }
  }

  const begin = () => {
    for (const root of document.querySelectorAll("[data-chart]:not([data-begun])")) {
      root.dataset.begun = "";
      root.hidden = false;
      root.chart = new Chart(root);
    }
  };
  begin();
  document.addEventListener("htmx:afterSettle", begin);
})();
