"use strict";
// Buttons that copy a text or hand a link to the phone: [data-copy], [data-share]. Without JavaScript they are not there.
(() => {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  for (const button of document.querySelectorAll("[data-share]")) button.hidden = !navigator.share;

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-share]");
    if (!button) return;
    if (button.dataset.share) {
      // Whoever thinks better of it ends it with an error that means nothing.
      await navigator.share({ url: button.dataset.share, title: button.dataset.title }).catch(() => null);
    } else {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = button.dataset.done;
    }
  });
})();
