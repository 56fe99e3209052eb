"use strict";
// The board: a step is taken without leaving the page. Its form works without this too; then the order's page comes.
(() => {
  const board = () => document.getElementById("board");
  const said = document.getElementById("said");

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form.step")) return;
    event.preventDefault();
    take(form, event.submitter).catch(() => refuse(form, said.dataset.offline));
  });

  async function take(form, button) {
    try {
      const answer = await fetch(form.getAttribute("action"), {
        method: "POST",
        headers: { Accept: "application/json", "X-CSRF-Token": document.querySelector('meta[name="csrf"]').content },
        body: new FormData(form),
      });
      if (answer.redirected) location.reload(); // signed out meanwhile
      else if (answer.ok) finish(form);
      else refuse(form, (await answer.json()).error);
    } finally {
      button?.removeAttribute("aria-busy");
    }
  }

  // The next order of the column is what the person looks at now.
  function finish(form) {
    const card = form.closest("li");
    const next = card.nextElementSibling ?? card.previousElementSibling;
    const column = card.closest("section");
    said.textContent = form.dataset.done;
    (next?.querySelector(".step button") ?? next?.querySelector("a") ?? column.querySelector("a")).focus();
    htmx.trigger(board(), "taken");
  }

  function refuse(form, why) {
    const problem = form.querySelector(".problem");
    problem.textContent = why;
    problem.hidden = false;
    htmx.trigger(board(), "taken");
  }
})();
