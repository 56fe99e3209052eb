"use strict";
// The form for a new gateway: places are chosen on the map, and what must be typed elsewhere is copied.
(() => {
  const say = (name) => {
    const radio = document.querySelector(`input[name="place"][value="${name}"]`);
    if (radio) radio.checked = true;
  };

  // A device is either at a site that is here already or at a new one.
  const clear = (device) => {
    for (const field of device.querySelectorAll("[name$='.new.latitude'], [name$='.new.longitude']")) {
      field.value = "";
      field.dispatchEvent(new Event("change", { bubbles: true }));
    }
  };

  // A place that is here already, chosen on the map: show it in the list, ticked.
  document.addEventListener("map:site", ({ detail, target }) => {
    const part = target.closest(".device, .where");
    if (part.matches(".device")) clear(part);
    else say("known");
    const list = part.querySelector(".sites");
    const { field } = list.dataset;
    const asked = new URLSearchParams({ field, [field]: detail.code });
    htmx.ajax("GET", `/gateways/new/sites?${asked}`, { target: list, swap: "innerHTML" });
  });
  document.addEventListener("map:picked", ({ target }) => {
    const part = target.closest(".device, .where");
    if (part.matches(".device")) part.querySelector(".sites input[value='']").checked = true;
    else say("new");
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

  // What was typed stays in this tab, for when the page is loaded again, left, or shown in the other language. It goes to
  // the server as each step does, and comes back as the step that it was at. Passwords are not among it.
  const DRAFT = "draft:";
  const wizard = () => document.getElementById("wizard");
  const typed = () => {
    const fields = [...new FormData(wizard())].filter(([name]) => name !== "csrf" && !/^(shown|removed)_/.test(name));
    return Object.fromEntries(fields);
  };
  const show = (fields) => {
    const values = { ...fields, do: `go:${fields.step}` };
    return htmx.ajax("POST", location.pathname, { target: "#wizard", select: "#wizard", swap: "outerHTML", values });
  };
  const forget = (owner) => {
    for (const name of Object.keys(sessionStorage)) {
      if (name === DRAFT + owner || name.startsWith(`${DRAFT}${owner}?`)) sessionStorage.removeItem(name);
    }
  };
  const keepDraft = (owner) => {
    const key = DRAFT + owner + location.search;
    const kept = JSON.parse(sessionStorage.getItem(key));
    const isOther = kept && JSON.stringify(kept) !== JSON.stringify(typed());
    // The browser's back and forward go from step to step.
    history.replaceState({ step: isOther ? kept.step : typed().step }, "");
    document.addEventListener("htmx:afterSwap", () => {
      const { step } = typed();
      if (history.state?.step !== step) history.pushState({ step }, "");
    });
    addEventListener("popstate", ({ state }) => state?.step && show({ ...typed(), step: state.step }));
    for (const change of ["input", "change", "htmx:afterSwap"]) {
      document.addEventListener(change, ({ target }) => {
        if (target.closest("#wizard")) sessionStorage.setItem(key, JSON.stringify(typed()));
      });
    }
    if (isOther) show(kept).then(() => (document.getElementById("restored").hidden = false));
  };
  const owner = wizard()?.dataset.draft;
  if (owner) document.addEventListener("htmx:load", () => keepDraft(owner), { once: true });
  const finished = document.querySelector("[data-finished]")?.dataset.finished;
  if (finished) forget(finished);
  document.addEventListener("click", ({ target }) => {
    const leaving = target.closest("[data-forget]");
    if (leaving) forget(leaving.dataset.forget);
  });

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
