"use strict";
// Draws what a chart shows between its axes: hatched holes, the curve or the band of extremes, thresholds, and marks of
// what cannot be trusted. A part of the bundle chart.js; what the view holds, chart.js says.
(() => {
  const [SUSPECT, FAILED] = [3, 4];

  function hatch(context, colour, ground, crossed) {
    const tile = document.createElement("canvas");
    const size = Math.round(8 * devicePixelRatio);
    tile.width = tile.height = size;
    const pen = tile.getContext("2d");
    pen.fillStyle = ground;
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = colour;
    pen.lineWidth = devicePixelRatio;
    pen.beginPath();
    for (const shift of [-size, 0, size]) {
      pen.moveTo(shift, size);
      pen.lineTo(shift + size, 0);
      if (!crossed) continue;
      pen.moveTo(shift, 0);
      pen.lineTo(shift + size, size);
    }
    pen.stroke();
    return context.createPattern(tile, "repeat");
  }

  window.ChartPainter = class {
    constructor(plot, view, colour) {
      this.plot = plot;
      this.view = view;
      this.colour = colour;
      this.pen = plot.ctx;
      this.ratio = devicePixelRatio;
    }

    x(at) {
      return this.plot.valToPos(at, "x", true);
    }

    y(value) {
      return this.plot.valToPos(value, "y", true);
    }

    clipped(paint) {
      const { left, top, width, height } = this.plot.bbox;
      this.pen.save();
      this.pen.beginPath();
      this.pen.rect(left, top, width, height);
      this.pen.clip();
      paint(this.plot.bbox);
      this.pen.restore();
    }

    ground() {
      const looks = {
        none: hatch(this.pen, this.colour("--none-mark"), this.colour("--none-fill"), false),
        missing: hatch(this.pen, this.colour("--bad-fill"), this.colour("--red-soft"), true),
      };
      this.clipped(({ top, height }) => {
        this.pen.globalAlpha = 0.55;
        for (const hole of this.view.holes) {
          const left = this.x(hole.from);
          this.pen.fillStyle = looks[hole.kind];
          this.pen.fillRect(left, top, Math.max(this.x(hole.to) - left, 2 * this.ratio), height);
        }
      });
    }

    values() {
      this.clipped(() => {
        const runs = this.runs();
        if (this.view.width) for (const run of runs) this.band(run);
        this.pen.lineWidth = 1.75 * this.ratio;
        this.pen.lineJoin = "round";
        this.pen.strokeStyle = this.pen.fillStyle = this.colour("--series");
        for (const run of runs) {
          this.line(run, "high");
          if (this.view.width) this.line(run, "low");
        }
        this.thresholds();
        this.marks();
      });
    }

    runs() {
      const runs = [];
      let run = null;
      for (const item of this.view.items) {
        if (item.high === null || item.breaks || !run) runs.push((run = []));
        if (item.high === null) run = null;
        else run.push(item);
      }
      return runs.filter((each) => each.length);
    }

    band(run) {
      this.pen.fillStyle = this.colour("--series-soft");
      this.pen.beginPath();
      for (const item of run) this.pen.lineTo(this.x(item.at), this.y(item.high));
      for (let i = run.length - 1; i >= 0; i -= 1) this.pen.lineTo(this.x(run[i].at), this.y(run[i].low));
      this.pen.fill();
    }

    line(run, name) {
      if (run.length === 1 || run.length * 12 * this.ratio < this.x(run.at(-1).at) - this.x(run[0].at)) {
        for (const item of run) this.dot(item.at, item[name]);
      }
      this.pen.beginPath();
      let before = null;
      for (const item of run) {
        if (this.view.stepped && before !== null) this.pen.lineTo(this.x(item.at), this.y(before));
        this.pen.lineTo(this.x(item.at), this.y(item[name]));
        before = item[name];
      }
      this.pen.stroke();
    }

    dot(at, value) {
      this.pen.beginPath();
      this.pen.arc(this.x(at), this.y(value), 2.5 * this.ratio, 0, 7);
      this.pen.fill();
    }

    unit(text) {
      const { left, top } = this.plot.bbox;
      this.pen.font = `${12 * this.ratio}px ${getComputedStyle(this.plot.root).fontFamily}`;
      this.pen.fillStyle = this.colour("--ink-soft");
      this.pen.textAlign = "right";
      this.pen.textBaseline = "bottom";
      this.pen.fillText(text, Math.max(left - 6 * this.ratio, this.pen.measureText(text).width), top - 10 * this.ratio);
    }

    thresholds() {
      const { left, top, width, height } = this.plot.bbox;
      this.pen.font = `${12 * this.ratio}px ${getComputedStyle(this.plot.root).fontFamily}`;
      this.pen.lineWidth = 1.5 * this.ratio;
      this.pen.textAlign = "right";
      for (const { value, label, severity } of this.view.thresholds) {
        const [low, high] = [this.plot.scales.y.min, this.plot.scales.y.max];
        const at = this.y(Math.min(Math.max(value, low), high));
        this.pen.strokeStyle = this.pen.fillStyle = this.colour(`--${severity}`);
        this.pen.setLineDash([6 * this.ratio, 4 * this.ratio]);
        this.pen.beginPath();
        this.pen.moveTo(left, at);
        this.pen.lineTo(left + width, at);
        if (value > low && value < high) this.pen.stroke();
        this.pen.setLineDash([]);
        const arrow = value > high ? "▲ " : value < low ? "▼ " : "";
        const isHigh = at - top < 20 * this.ratio;
        this.pen.textBaseline = isHigh ? "top" : "bottom";
        const baseline = Math.min(at + (isHigh ? 4 : -4) * this.ratio, top + height - 2 * this.ratio);
        this.pen.lineWidth = 4 * this.ratio;
        this.pen.strokeStyle = this.colour("--surface"); // so that it can be read over the curve
        this.pen.strokeText(arrow + label, left + width - 6 * this.ratio, baseline);
        this.pen.fillText(arrow + label, left + width - 6 * this.ratio, baseline);
        this.pen.lineWidth = 1.5 * this.ratio;
      }
    }

    marks() {
      const [low, high] = [this.plot.scales.y.min, this.plot.scales.y.max];
      const { top, height } = this.plot.bbox;
      this.pen.lineWidth = 2 * this.ratio;
      for (const item of this.view.items) {
        const x = this.x(item.at);
        if (item.review === "overruled") {
          this.ring(x, this.y(item.high ?? Math.min(Math.max(item.failedHigh, low), high)));
          continue;
        }
        if (item.counts[SUSPECT] && !this.view.width) this.diamond(x, this.y(item.high), item.review === "confirmed");
        if (item.counts[SUSPECT]) this.tick(x, top + height, this.colour("--partial-fill"));
        if (!item.counts[FAILED]) continue;
        this.tick(x, top + height, this.colour("--bad-fill"));
        for (const value of new Set([item.failedLow, item.failedHigh])) {
          if (value > high) this.triangle(x, top + 2 * this.ratio, 1);
          else if (value < low) this.triangle(x, top + height - 2 * this.ratio, -1);
          else this.cross(x, this.y(value));
        }
      }
    }

    tick(x, bottom, colour) {
      this.pen.fillStyle = colour;
      this.pen.fillRect(x - this.ratio, bottom - 7 * this.ratio, 2 * this.ratio, 7 * this.ratio);
    }

    triangle(x, y, down) {
      const size = 6 * this.ratio;
      this.pen.fillStyle = this.colour("--bad-fill");
      this.pen.beginPath();
      this.pen.moveTo(x, y);
      this.pen.lineTo(x - size, y + down * size * 1.5);
      this.pen.lineTo(x + size, y + down * size * 1.5);
      this.pen.fill();
    }

    cross(x, y) {
      const size = 4.5 * this.ratio;
      this.pen.strokeStyle = this.colour("--bad-fill");
      this.pen.beginPath();
      for (const slope of [1, -1]) {
        this.pen.moveTo(x - size, y - slope * size);
        this.pen.lineTo(x + size, y + slope * size);
      }
      this.pen.stroke();
    }

    // Of a flag that somebody overruled: the value is right.
    ring(x, y) {
      this.pen.strokeStyle = this.colour("--good-fill");
      this.pen.beginPath();
      this.pen.arc(x, y, 4.5 * this.ratio, 0, 7);
      this.pen.stroke();
    }

    diamond(x, y, isConfirmed) {
      const size = 5.5 * this.ratio;
      this.pen.strokeStyle = this.colour("--yellow");
      this.pen.fillStyle = this.colour(isConfirmed ? "--yellow" : "--yellow-soft");
      this.pen.beginPath();
      for (const [right, up] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) this.pen.lineTo(x + right * size, y - up * size);
      this.pen.closePath();
      this.pen.fill();
      this.pen.stroke();
    }
  };
})();
