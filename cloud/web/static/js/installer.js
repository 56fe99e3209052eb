"use strict";
// The form for a new gateway: places are chosen on the map, and what must be typed elsewhere is copied.
(() => {
  const say = (name) => {
    const radio = document.querySelector(`input[name="place"][value="${name}"]`);
    if (radio) radio.checked = true;
  };

  // A place that is here already, chosen on the map: show it in the list, ticked.
  document.addEventListener("map:site", ({ detail, target }) => {
    const ofDevice = target.closest(".device")?.querySelector("input[list]");
    if (ofDevice) {
      ofDevice.value = detail.code;
      return;
    }
    say("known");
    htmx.ajax("GET", `/gateways/new/sites?site=${encodeURIComponent(detail.code)}`, { target: "#sites", swap: "innerHTML" });
  });
  document.addEventListener("map:picked", ({ target }) => {
    const part = target.closest(".device, .where");
    if (!part.matches(".device")) say("new");
    forgive(part.querySelector("select[name$='new.grid']"));
  });

  // What is being put right is no longer called wrong; the next check says whether it is.
  const forgive = (field) => {
    if (field?.getAttribute("aria-invalid") !== "true") return;
    field.removeAttribute("aria-invalid");
    for (const problem of field.closest(".field").querySelectorAll(".problem")) problem.hidden = true;
  };
  document.addEventListener("input", ({ target }) => forgive(target));

  // Without a network, or while the cloud is away, what was typed stays and is sent again by another press.
  for (const [name, isHidden] of [["htmx:beforeRequest", true], ["htmx:sendError", false], ["htmx:responseError", false]]) {
    document.addEventListener(name, ({ target }) => {
      const told = target.closest("#wizard")?.querySelector("#not-sent");
      if (told) told.hidden = isHidden;
    });
  }

  const select = (element) => getSelection().selectAllChildren(element);
  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.lastElementChild.textContent = button.dataset.done;
    } catch {
      select(text); // not allowed here: then it is marked, for Ctrl-C
    }
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
})();
