"use strict";
// Renews a part of a page in place: hx-ext="morph" hx-swap="morph". What has not changed stays the very element that it
// was, so that nothing flickers and nobody who reads, chooses or types is disturbed. Elements are known again by their
// id, others by their place. A form that has the focus and what is marked data-keep (a map) are left alone.
(() => {
  const KEPT = new Set(["open", "aria-busy"]); // attributes that belong to the reader, not to the server

  function morph(root, wanted) {
    const known = new Map([...root.querySelectorAll("[id]")].map((element) => [element.id, element]));
    const focused = document.activeElement;
    const item = focused.closest("li[id]");
    const added = [];
    renew(root, wanted, known, added);
    // An element that had to move lost the focus on the way; of one that is gone its item has it.
    const heir = focused.isConnected ? focused : item?.querySelector("a");
    if (heir !== document.activeElement && root.contains(heir)) heir.focus({ preventScroll: true });
    return added;
  }

  function renew(old, wanted, known, added) {
    if (old.isEqualNode(wanted)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = wanted.nodeValue;
      return;
    }
    if ("keep" in old.dataset || (old.nodeName === "FORM" && old.contains(document.activeElement))) return;
    renewAttributes(old, wanted);
    renewChildren(old, wanted, known, added);
  }

  function renewAttributes(old, wanted) {
    for (const { name, value } of wanted.attributes) {
      if (old.getAttribute(name) !== value && !KEPT.has(name)) old.setAttribute(name, value);
    }
    for (const { name } of Array.from(old.attributes)) {
      if (!wanted.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
    }
  }

  function renewChildren(old, wanted, known, added) {
    let place = old.firstChild;
    for (const child of Array.from(wanted.childNodes)) {
      const same = child.id ? claim(child, known) : isAlike(place, child) ? place : null;
      if (!same) {
        old.insertBefore(child, place);
        if (child.nodeType === Node.ELEMENT_NODE) adopt(child, known, added);
        continue;
      }
      if (same === place) place = place.nextSibling;
      else old.insertBefore(same, place);
      renew(same, child, known, added);
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  // What is new may hold what was elsewhere before: that moves into it.
  function adopt(parent, known, added) {
    added.push(parent);
    for (const wanted of parent.querySelectorAll("[id]")) {
      const same = parent.contains(wanted) ? claim(wanted, known) : null; // it went with what held it
      if (!same) continue;
      wanted.replaceWith(same);
      renew(same, wanted, known, added);
    }
  }

  function claim(wanted, known) {
    const same = known.get(wanted.id);
    known.delete(wanted.id);
    return same?.nodeName === wanted.nodeName ? same : null;
  }

  function isAlike(old, wanted) {
    return old && !old.id && old.nodeType === wanted.nodeType && old.nodeName === wanted.nodeName;
  }

  htmx.defineExtension("morph", {
    isInlineSwap: (style) => style === "morph",
    handleSwap(style, target, fragment) {
      const wanted = fragment.firstElementChild;
      return style === "morph" && wanted ? morph(target, wanted) : false;
    },
  });
})();
