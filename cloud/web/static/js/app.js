"use strict";
// What every page does beyond HTML. Pages work without it: it only makes them quicker.
(() => {
  const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

  // A part of a page that htmx asks for is asked for with the page's token.
  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRF-Token"] = csrf;
  });

  // A form is sent once, however often an impatient finger comes down. Pages from the back button can send again.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (event.defaultPrevented || !button) return;
    if (button.getAttribute("aria-busy") === "true") {
      event.preventDefault();
      return;
    }
    button.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  });

  // The code of a one-time link stands after the #, so that no server and no log sees it on the way. It is taken out of
  // the address at once, and kept with the page for when it is loaded again.
  const code = document.querySelector("input[data-from-fragment]");
  const takeCode = () => {
    const given = location.hash.slice(1) || history.state?.code;
    if (!given) return;
    code.value = given;
    history.replaceState({ code: given }, "", location.pathname);
    code.closest(".field").hidden = true;
  };
  if (code && !document.querySelector('[role="alert"]')) {
    takeCode();
    window.addEventListener("hashchange", takeCode);
  }

  // A choice that needs no button, such as a filter.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
})();
