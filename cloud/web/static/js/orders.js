"use strict";
// A worker's orders on a phone that loses its network: steps go into a queue, are shown as done, and are sent later.
// Everything here makes the pages quicker or lets them work offline; without it every form is posted as it is.
(() => {
  const queue = self.anlanQueue;
  const { tick, clock } = self.anlanCountdown;
  const { shrink } = self.anlanPhotos;
  const places = self.anlanPlaces;
  const RETRY_S = [5, 10, 20, 40, 60, 120];
  const SHOW_SENT_MS = 5000;
  const LATE_MS = 5500;
  const RENEW_KEPT_MS = 10_000;
  const FORGET_MS = 86_400_000;
  const MOST_KEPT = 60;
  const find = (id) => document.getElementById(id);
  const strip = () => find("strip");
  const words = () => strip().dataset;
  const fill = (text, value) => text.replace("{}", value);
  const NEEDED = ["indexedDB", "BroadcastChannel", "AbortController"];
  const canQueue = NEEDED.every((name) => name in self) && "locks" in navigator && "randomUUID" in crypto;

  const page = document.documentElement.dataset; // with the marks of the service worker, if the page was kept

  // ---- the strip ---------------------------------------------------------------------------------------------------

  let outcome = null; // of the last attempt to send
  let sending = false;
  let fresh = false;
  let sentAt = 0;
  let sentText = "";
  let unsent = 0;
  let leaving = false;

  const keptText = () => {
    if (!page.keptAt) return navigator.onLine ? null : words().cut;
    return fill(page.keptBecause === "slow" ? words().slow : words().offline, clock(Number(page.keptAt)));
  };

  const queueText = (mine, others) => {
    if (mine.length > 0) return fill(sending ? words().sending : words().waiting, mine.length);
    if (others.length > 0) return fill(words().others, others.length);
    return Date.now() - sentAt < SHOW_SENT_MS ? sentText : null;
  };

  const showStrip = (steps) => {
    const waiting = steps.filter((step) => step.state === "waiting");
    const mine = waiting.filter((step) => step.login === words().login);
    unsent = mine.length;
    const asksSignIn = mine.length > 0 && outcome === queue.outcomes.SIGN_IN;
    const leave = leaving && fill(words().leave, mine.length);
    const texts = [leave, keptText(), queueText(mine, waiting), asksSignIn && words().signIn, fresh && words().fresh];
    const text = texts.filter(Boolean).join(" · ");
    const [link, button] = [strip().querySelector("a"), strip().querySelector("button")];
    if (strip().querySelector(".words").textContent !== text) strip().querySelector(".words").textContent = text;
    strip().classList.toggle("calm", text === sentText);
    strip().hidden = text === "";
    document.documentElement.toggleAttribute("data-stale", Boolean(keptText())); // what it is now is not known
    link.hidden = !asksSignIn;
    button.hidden = !fresh && !page.keptAt;
    button.textContent = words().reload;
  };

  // ---- what was refused --------------------------------------------------------------------------------------------

  const refusedCard = (step) => {
    const card = find("refused-card").content.firstElementChild.cloneNode(true);
    const link = card.querySelector("a");
    card.querySelector(".what").textContent = fill(words().notDone, step.label);
    link.href = `/orders/${step.code}`;
    link.textContent = `${step.title} ${step.code}`;
    card.querySelector(".why").textContent = step.why ?? words().behind;
    const note = step.fields.filter(([name]) => name === "note" || name === "more").map(([, value]) => value);
    const said = card.querySelector(".said");
    said.textContent = note.join(" ");
    said.hidden = said.textContent === "";
    const image = card.querySelector("img");
    if (step.photo) {
      image.src = URL.createObjectURL(step.photo);
      image.hidden = false;
    }
    card.dataset.number = step.number;
    card.querySelector("button").addEventListener("click", () => queue.remove(step.number));
    return card;
  };

  const showRefused = (steps) => {
    const refused = steps.filter((step) => step.state === "refused" && step.login === words().login);
    const shown = [...find("refused").children].map((card) => card.dataset.number).join(" ");
    if (shown === refused.map((step) => step.number).join(" ")) return;
    find("refused").replaceChildren(...refused.map(refusedCard));
    find("refused").hidden = refused.length === 0;
  };

  // ---- steps that are not on the page yet ----------------------------------------------------------------------------

  // Which steps of the queue lead on from the state that an order has on the page.
  const ahead = (steps, order) => {
    const found = [];
    let { state } = order;
    for (const step of steps) {
      const isHere = step.code === order.code && step.login === words().login && step.state !== "refused";
      const isShown = step.state === "sent" && step.version_after <= Number(order.version);
      if (isHere && !isShown && step.from === state) {
        found.push(step);
        state = step.to;
      }
    }
    return { found, state };
  };

  // Whoever pressed a button finds the next one under the same key.
  const focusNext = () => (find("act").querySelector("button, summary") ?? find("top")).focus();

  const stateWord = (state) => JSON.parse(words().states)[state] ?? state;

  const showState = (place, state, isWaiting) => {
    const badge = document.createElement("span");
    badge.className = "badge";
    badge.textContent = stateWord(state);
    const mark = document.createElement("span");
    mark.className = "badge warn unsent";
    mark.textContent = words().unsent;
    place.replaceChildren(badge, ...(isWaiting ? [mark] : []));
  };

  const isWaiting = (step) => step.state === "waiting";

  // What is left of the limit of a step that is taken is of no interest any more.
  const hideLimit = (place, found) => {
    for (const element of place.querySelectorAll(".left, .now")) element.hidden = found.length > 0;
  };

  const showInList = (steps) => {
    for (const card of document.querySelectorAll(".job")) {
      const { found, state } = ahead(steps, card.dataset);
      if (found.length > 0) showState(card.querySelector(".state"), state, found.some(isWaiting));
      hideLimit(card, found);
    }
  };

  const pendingLine = (step) => {
    const line = find("pending").content.firstElementChild.cloneNode(true);
    line.querySelector("strong").textContent = step.label;
    line.querySelector(".badge").hidden = step.state !== "waiting";
    line.querySelector("small").textContent = clock(step.at);
    return line;
  };

  const showOnPage = (steps) => {
    const order = find("order");
    if (!order) return;
    const act = find("act");
    const { found, state } = ahead(steps, order.dataset);
    for (const line of document.querySelectorAll(".pending")) line.remove();
    find("done").append(...found.map(pendingLine));
    hideLimit(find("top"), found);
    if (found.length === 0) return;
    showState(find("state"), state, found.some(isWaiting));
    if ((act.dataset.after ?? order.dataset.state) === state) return; // somebody may be filling it in
    act.dataset.after = state;
    const wasInside = act.contains(document.activeElement);
    const later = document.querySelector(`template[data-after="${state}"]`);
    act.querySelector(".bar-of-steps")?.remove();
    if (later) act.prepend(later.content.cloneNode(true));
    act.toggleAttribute("data-empty", !later);
    prepare();
    if (wasInside) focusNext();
  };

  // Forget steps that the page shows as done, and those of long ago, whose order may be gone.
  const tidy = async (steps) => {
    const orders = [...document.querySelectorAll("[data-code][data-version]")].map(({ dataset }) => dataset);
    const isShown = (step) => orders.some(({ code, version }) => code === step.code && step.version_after <= Number(version));
    const isOld = (step) => Date.now() - step.at > FORGET_MS;
    const done = steps.filter((step) => step.state === "sent" && (isShown(step) || isOld(step)));
    await Promise.all(done.map((step) => queue.remove(step.number)));
  };

  const show = async () => {
    const steps = canQueue ? await queue.all() : [];
    showStrip(steps);
    showRefused(steps);
    showInList(steps);
    showOnPage(steps);
    return steps;
  };

  // ---- the page as the server has it ---------------------------------------------------------------------------------

  const isTouched = () => find("act").querySelector("details[open]") !== null;

  // Nobody loses what they are filling in: its form stays where it still fits, otherwise it is said that it does not.
  const renewSteps = (parsed) => {
    const act = find("act");
    const now = parsed.getElementById("order").dataset;
    const isCurrent = act.dataset.version === now.version && !act.dataset.after;
    const fits = isTouched() && act.dataset.after === now.state;
    if (isCurrent) return;
    if (fits) act.dataset.version = now.version;
    else if (isTouched()) act.querySelector(".changed").hidden = false;
    else {
      const wasInside = act.contains(document.activeElement);
      for (const id of ["act", "later"]) find(id).replaceWith(parsed.getElementById(id));
      prepare();
      if (wasInside) focusNext();
    }
  };

  // What has just come from the server is no page of earlier any more.
  const noteFresh = () => {
    delete page.keptAt;
    delete page.keptBecause;
    fresh = false;
  };

  const renew = async () => {
    const answer = await fetch(location.pathname, { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Copies: one of them is a part of the steps too.
    for (const id of ["top", "still", "readings", "facts", "more"])
      find(id).replaceWith(parsed.getElementById(id).cloneNode(true));
    renewSteps(parsed);
    noteFresh();
    Object.assign(find("order").dataset, find("top").dataset);
    await tidy(await show());
  };

  // One at a time: the answer to the first may be older than what the second asks for.
  let renewing = Promise.resolve();

  const renewQuietly = () => {
    if (find("order")) renewing = renewing.then(renew).catch(() => null); // no network: the page stays as it is
    return renewing;
  };

  // htmx leaves out what the live stream says within five seconds of the last news: that is asked for at their end.
  let asked = 0;
  let late = null;

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.id === "order") event.preventDefault(); // nobody sees it
    else if (["mine", "order"].includes(event.target.id)) asked = performance.now();
  });

  // While something waits to be sent, a session that is over is said here; the page is not left for the sign-in's.
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (event.detail.xhr.status !== 401 || unsent === 0) return;
    event.preventDefault();
    outcome = queue.outcomes.SIGN_IN;
    show();
  });

  // A part that has not changed stays, and so does one that somebody has unfolded or is in.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    const isUsed = target.contains(document.activeElement) || target.querySelector("details[open]");
    if (isUsed || fragment.firstElementChild?.outerHTML === target.outerHTML) event.detail.shouldSwap = false;
  });

  const askLate = (event) => {
    const heard = performance.now();
    clearTimeout(late);
    late = setTimeout(() => (asked < heard ? htmx.trigger(event.target, "late") : null), LATE_MS);
  };

  document.addEventListener("sse:orders", askLate, { capture: true }); // before htmx asks

  // The live stream renews all but the buttons, lest somebody is filling something in.
  document.addEventListener("htmx:afterSettle", async (event) => {
    if (!["mine", "top"].includes(event.target.id)) return;
    tick();
    noteFresh();
    await tidy(await show());
    await keepOrders();
    const act = find("act");
    if (act && find("top").dataset.version !== act.dataset.version) await renewQuietly();
  });

  // ---- sending -----------------------------------------------------------------------------------------------------

  let tries = 0;
  let timer = null;

  const sendNow = async () => {
    clearTimeout(timer);
    const before = (await queue.all()).filter(isWaiting);
    if (before.length === 0) return;
    sending = navigator.onLine;
    await show();
    outcome = await queue.send();
    sending = false;
    const left = await queue.all();
    const isRefused = (step) => left.some((one) => one.number === step.number && one.state === "refused");
    if (outcome === queue.outcomes.SENT) {
      tries = 0;
      sentAt = before.some(isRefused) ? 0 : Date.now();
      sentText = fill(words().sent, before.map((step) => stateWord(step.to)).join(" · "));
      setTimeout(show, SHOW_SENT_MS + 100);
    } else if (outcome === queue.outcomes.CUT) {
      timer = setTimeout(sendNow, RETRY_S[Math.min(tries, RETRY_S.length - 1)] * 1000);
      tries += 1;
    }
    await tidy(await show());
    const here = find("order")?.dataset.code;
    const isLeft = (step) => left.some((one) => one.number === step.number && isWaiting(one));
    const wasSent = before.some((step) => step.code === here && !isLeft(step));
    if (wasSent) await renewQuietly();
  };

  const renewInPlace = () => {
    if (find("mine")) htmx.trigger(find("mine"), "late");
    return renewQuietly();
  };

  // With a network again, or seen again, a page makes room for what is true now.
  const sendThenRenew = async () => {
    await show(); // a network that is back is not called gone, even if the first request over it fails
    await sendNow();
    if (navigator.onLine) await renewInPlace();
  };

  const askForSync = async () => {
    const registration = await navigator.serviceWorker?.getRegistration();
    await registration?.sync?.register("anlan-orders");
  };

  // ---- forms -------------------------------------------------------------------------------------------------------

  const lacksReason = (form) => {
    const problem = form.querySelector(".problem");
    const more = form.querySelector("textarea[name=more]");
    if (!more) return false;
    const lacks = !form.querySelector("input[name=reason]:checked") && more.value.trim() === "";
    problem.hidden = !lacks;
    if (lacks) more.focus();
    return lacks;
  };

  const stepOf = async (form, button) => {
    const given = new FormData(form);
    const photo = given.get("photo");
    for (const name of ["csrf", "action", "photo"]) given.delete(name);
    const place = places.place();
    if (form.elements.latitude && place) {
      given.set("latitude", String(place.latitude));
      given.set("longitude", String(place.longitude));
    }
    const order = find("order").dataset;
    return {
      action: crypto.randomUUID(),
      login: words().login,
      code: order.code,
      from: find("act").dataset.after ?? order.state,
      to: form.dataset.to,
      at: Date.now(),
      title: document.querySelector("h1").textContent.trim(),
      label: button.textContent.trim(),
      fields: [...given].filter(([, value]) => value !== ""),
      photo: photo?.size > 0 ? await shrink(photo) : null,
    };
  };

  const postAsItIs = (form, button) => {
    delete form.dataset.queue;
    form.requestSubmit(button);
  };

  const queueStep = async (form, button) => {
    button.setAttribute("aria-busy", "true");
    try {
      await queue.add(await stepOf(form, button));
    } catch {
      postAsItIs(form, button); // the phone has no room, or keeps nothing in a private window
      return;
    }
    askForSync().catch(() => null);
    navigator.storage?.persist?.().catch(() => null);
    await sendNow();
  };

  // What waits stays on the phone, and is sent only while its person is signed in: that is said once.
  const isWarned = (form) => {
    if (form.getAttribute("action") !== "/sign-out" || unsent === 0 || leaving) return false;
    leaving = true;
    show();
    return true;
  };

  // The service worker does so too, unless this page was loaded past it.
  const forgetPages = async () => {
    const names = (await self.caches?.keys()) ?? [];
    await Promise.all(names.filter((name) => name.startsWith("pages-")).map((name) => caches.delete(name)));
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (isWarned(form)) {
      event.preventDefault();
      return;
    }
    if (form.getAttribute("action") === "/sign-out") forgetPages();
    if (lacksReason(form)) {
      event.preventDefault();
      return;
    }
    if (!canQueue || !form.matches("[data-queue]")) return;
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button:not([type=button])");
    if (button.getAttribute("aria-busy") !== "true") queueStep(form, button);
  });

  const prepare = () => {
    places.offer().catch(() => null);
  };

  // ---- the service worker --------------------------------------------------------------------------------------------

  const keepOrders = async () => {
    if (!("keeps" in words()) || !("serviceWorker" in navigator) || page.keptAt) return;
    const cards = [...document.querySelectorAll("#mine .job, #check .job")].slice(0, MOST_KEPT);
    const wanted = cards.map((card) => ({ path: card.getAttribute("href"), mark: card.dataset.mark }));
    if (!navigator.serviceWorker.controller) wanted.unshift({ path: location.pathname, mark: null });
    const registration = await navigator.serviceWorker.ready;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a service worker has none
    registration.active.postMessage({ keep: wanted, savesData: navigator.connection?.saveData ?? false });
  };

  const start = async () => {
    if (!strip()) return;
    // What was done is said once, not again by the back button.
    if (location.search.startsWith("?done=")) history.replaceState(history.state, "", location.pathname);
    strip().querySelector("button").addEventListener("click", () => location.reload());
    if (find("act")) prepare();
    if (!canQueue) return;
    queue.listen(show);
    addEventListener("online", sendThenRenew);
    addEventListener("offline", show);
    setInterval(() => (page.keptAt && !document.hidden ? sendThenRenew() : null), RENEW_KEPT_MS); // not all networks tell
    document.addEventListener("visibilitychange", () => (document.hidden ? null : sendThenRenew()));
    await tidy(await show());
    await sendNow();
    if (!("keeps" in words()) || !("serviceWorker" in navigator)) return;
    navigator.serviceWorker.addEventListener("message", () => {
      fresh = true;
      show();
    });
    await navigator.serviceWorker.register("/sw.js").catch(() => null); // no network: the one that is there goes on
    await keepOrders();
  };

  start();
})();
