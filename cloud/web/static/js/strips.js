"use strict";
// Strips of completeness: tells the counts of the cell that is pointed at, tapped, or reached with the arrow keys.
(() => {
  function cellsOf(strip) {
    const cells = [];
    for (const part of strip.dataset.cells.split(" ")) {
      const [counts, times] = part.split("*");
      const [valued, missing, expected] = counts.split("/").map(Number);
      for (let i = 0; i < Number(times); i += 1) cells.push({ valued, missing, expected });
    }
    return cells;
  }

  function attach(sheet) {
    const words = JSON.parse(sheet.dataset.words);
    const tip = sheet.querySelector(".strip-tip");
    const format = new Intl.DateTimeFormat(document.documentElement.lang, {
      timeZone: sheet.dataset.zone, month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false,
    });
    let index = -1;

    function say(cell, from, to, state) {
      const told = [`${format.format(from)} – ${format.format(to)}`, words[state] ?? ""];
      if (cell.expected) told.push(words.counts.replace("{valued}", cell.valued).replace("{expected}", cell.expected));
      if (cell.missing) told.push(words.said.replace("{missing}", cell.missing));
      return told.filter(Boolean).join(" · ");
    }

    function stateAt(strip, share) {
      for (const rect of strip.querySelectorAll("rect")) {
        const left = parseFloat(rect.getAttribute("x"));
        if (share * 100 >= left && share * 100 < left + parseFloat(rect.getAttribute("width"))) return rect.getAttribute("class");
      }
      return "";
    }

    function show(strip, at) {
      const cells = cellsOf(strip);
      index = Math.max(0, Math.min(cells.length - 1, at));
      const slot = Number(strip.dataset.slot);
      const start = Number(strip.dataset.start) + index * slot;
      const middle = (index + 0.5) / cells.length;
      tip.textContent = say(cells[index], start, start + slot, stateAt(strip, middle));
      tip.hidden = false;
      const box = strip.getBoundingClientRect();
      const outer = sheet.getBoundingClientRect();
      const left = box.left - outer.left + middle * box.width - tip.offsetWidth / 2;
      tip.style.left = `${Math.max(0, Math.min(left, outer.width - tip.offsetWidth))}px`;
      tip.style.top = `${box.bottom - outer.top + 4}px`;
      mark(strip, index / cells.length, 1 / cells.length);
    }

    function mark(strip, left, width) {
      hideMark();
      const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      box.setAttribute("x", `${left * 100}%`);
      box.setAttribute("width", `${width * 100}%`);
      box.setAttribute("height", "100%");
      box.setAttribute("class", "pointed");
      strip.append(box);
    }

    function hideMark() {
      sheet.querySelector("rect.pointed")?.remove();
    }

    function hide() {
      tip.hidden = true;
      hideMark();
    }

    function countOf(strip) {
      return cellsOf(strip).length;
    }

    function follow(event) {
      const strip = event.target.closest?.("[data-strip]");
      if (!strip) return hide();
      const box = strip.getBoundingClientRect();
      show(strip, Math.floor(((event.clientX - box.left) / box.width) * countOf(strip)));
    }

    sheet.addEventListener("pointermove", follow);
    sheet.addEventListener("pointerdown", follow);
    sheet.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") hide();
    });
    sheet.addEventListener("focusin", (event) => {
      if (event.target.matches("[data-strip]:focus-visible")) show(event.target, countOf(event.target) - 1);
    });
    sheet.addEventListener("focusout", hide);
    sheet.addEventListener("keydown", (event) => {
      const strip = event.target.closest("[data-strip]");
      const steps = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: Infinity };
      if (!strip || !(event.key in steps)) return;
      event.preventDefault();
      show(strip, steps[event.key]);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
    });
  }

  const attached = new WeakSet();
  const begin = () => {
    for (const sheet of document.querySelectorAll("[data-strips]")) {
      if (!attached.has(sheet)) attach(sheet);
      attached.add(sheet);
    }
  };
  begin();
  document.addEventListener("htmx:afterSettle", begin);
})();
