"use strict";
// The service worker: a worker's orders open without a network, and steps that wait are sent when there is one again.
//
// It is served as /sw.js, behind queue.js and a line that says which files the pages load (SHELL). What it keeps is of
// one session alone: pages say by a header whose they are, and with another session, or none, all others are forgotten.
/* oxlint-disable no-await-in-loop -- fetching ahead must not take the network from what somebody waits for */
/* oxlint-disable unicorn/require-post-message-target-origin -- a page of ours has none */
(() => {
  const { files, fallback } = self.SHELL;
  const ASSETS = "assets";
  const PAGES = "pages-"; // and the number of the session
  const KEEP = "X-Anlan-Keep";
  const MARK = "X-Anlan-Mark";
  const KEPT_AT = "X-Anlan-Kept-At";
  const PATIENCE_MS = 3000;
  const MOST_PAGES = 80;
  const MOST_PICTURES = 80;
  const PICTURES_OF_PAGE = 8;
  const PAGE = /^\/orders(\/WO-[0-9]{6,12})?$/;
  const PICTURE = /\/api\/v1\/blobs\/[0-9a-f]{64}/g;
  const GROUND = "/map/base.geojson";
  const TOKEN = "/orders/token";
  const OTHER_PERSON = new Set(["/sign-out", "/sign-in", "/welcome"]); // posted to when somebody leaves or comes

  // ---- what is kept ------------------------------------------------------------------------------------------------

  const nameOf = (request) => new URL(request.url).pathname.split("/").slice(3).join("/");

  const keptNames = async () => (await caches.keys()).filter((name) => name.startsWith(PAGES));

  const forget = async (but = null) => {
    for (const name of await keptNames()) if (name !== but) await caches.delete(name);
  };

  const findKept = async (path) => {
    const [name] = await keptNames();
    return name ? (await caches.open(name)).match(path) : undefined;
  };

  const withHeader = async (answer, name, value) => {
    const headers = new Headers(answer.headers);
    headers.set(name, value);
    headers.delete("Content-Encoding"); // the body is unpacked by now
    headers.delete("Content-Length");
    return new Response(await answer.blob(), { headers });
  };

  // Keep a page that may be kept; an answer that says that the person is another one, or nobody, ends what was kept.
  const keep = async (path, answer) => {
    if (answer.type === "opaqueredirect" || answer.status === 401) return forget(); // of a page, of a part of one
    const session = answer.headers.get(KEEP);
    if (answer.status === 200 && session !== null) {
      await forget(PAGES + session);
      const cache = await caches.open(PAGES + session);
      return cache.put(path, await withHeader(answer, KEPT_AT, String(Date.now())));
    }
    if (answer.status === 404) for (const name of await keptNames()) await (await caches.open(name)).delete(path);
    return answer.status === 200 ? forget() : undefined;
  };

  const makeRoom = async (cache) => {
    const keys = await cache.keys();
    const pictures = keys.filter((key) => key.url.search(PICTURE) >= 0);
    const pages = keys.filter((key) => key.url.search(PICTURE) < 0);
    const surplus = [...pictures.slice(0, -MOST_PICTURES), ...pages.slice(0, -MOST_PAGES)];
    for (const key of surplus) await cache.delete(key);
  };

  const keepPictures = async (cache, text) => {
    const names = [...new Set(text.match(PICTURE))].slice(-PICTURES_OF_PAGE);
    for (const name of names) {
      if (await cache.match(name)) continue;
      const answer = await fetch(name);
      if (answer.ok) await cache.put(name, answer);
    }
  };

  // Fetch what the list shows, if it is another than what is kept, so that it opens without a network.
  const keepAll = async (wanted, savesData) => {
    for (const { path, mark } of wanted) {
      const kept = await findKept(path);
      if (!kept || !mark || kept.headers.get(MARK) !== mark) {
        const answer = await fetch(path, { redirect: "manual" });
        await keep(path, answer);
      }
      const page = await findKept(path);
      const [name] = await keptNames();
      if (page && name && !savesData) await keepPictures(await caches.open(name), await page.text());
    }
    const [name] = await keptNames();
    if (name) await makeRoom(await caches.open(name));
  };

  // ---- answering ---------------------------------------------------------------------------------------------------

  const asset = async (request) => {
    const cache = await caches.open(ASSETS);
    const kept = await cache.match(request);
    if (kept) return kept;
    const sameName = async () => {
      const key = (await cache.keys()).find((one) => nameOf(one) === nameOf(request));
      return key ? cache.match(key) : undefined;
    };
    try {
      const answer = await fetch(request);
      return answer.ok ? answer : ((await sameName()) ?? answer);
    } catch (error) {
      // A page that was kept under an earlier version asks for that version's files: this one's will do.
      const similar = await sameName();
      if (similar) return similar;
      throw error;
    }
  };

  const picture = async (request) => {
    const path = new URL(request.url).pathname;
    const kept = await findKept(path);
    if (kept) return kept;
    const answer = await fetch(request);
    const [name] = await keptNames();
    if (answer.ok && name) await (await caches.open(name)).put(path, answer.clone());
    return answer;
  };

  const ground = async (request) => {
    try {
      const answer = await fetch(request);
      const [name] = await keptNames();
      if (answer.ok && name) await (await caches.open(name)).put(GROUND, answer.clone());
      return answer;
    } catch (error) {
      const kept = await findKept(GROUND);
      if (kept) return kept;
      throw error;
    }
  };

  // A kept page says itself when it was kept and why it is shown, for orders.js to say it in words.
  const shown = async (kept, because) => {
    const text = await kept.text();
    const marks = `data-kept-at="${Number(kept.headers.get(KEPT_AT))}" data-kept-because="${because}"`;
    return new Response(text.replace("<html ", `<html ${marks} `), { headers: kept.headers });
  };

  const tellFresh = async (event) => {
    const client = await self.clients.get(event.resultingClientId);
    client?.postMessage("fresh");
  };

  const page = async (event) => {
    const { request } = event;
    const path = new URL(request.url).pathname;
    const network = fetch(request);
    const copied = network.then((answer) => answer.clone()); // before anybody reads the answer itself
    event.waitUntil(copied.then((copy) => keep(path, copy)).catch(() => null));
    if (request.mode !== "navigate") return network; // a part of a page that is open already
    const kept = await findKept(path);
    if (!kept) return network.catch(() => caches.match(fallback));
    let because = "slow";
    const late = new Promise((resolve) => {
      setTimeout(() => resolve(null), PATIENCE_MS);
    });
    const failed = network.catch(() => {
      because = "offline";
      return null;
    });
    const answer = await Promise.race([failed, late]);
    if (answer && answer.status < 500) return answer;
    if (because === "slow") event.waitUntil(failed.then((one) => (one?.ok ? tellFresh(event) : null)));
    return shown(kept, because);
  };

  // The queue learns here that nobody is signed in any more.
  const token = async (request) => {
    const answer = await fetch(request);
    if (answer.type === "opaqueredirect") await forget();
    return answer;
  };

  // Pages that are never kept; the first one leads to the orders.
  const other = async (request) => {
    try {
      return await fetch(request);
    } catch {
      const leadsToOrders = new URL(request.url).pathname === "/" && (await findKept("/orders"));
      return leadsToOrders ? Response.redirect("/orders") : caches.match(fallback);
    }
  };

  self.addEventListener("fetch", (event) => {
    const { request } = event;
    const url = new URL(request.url);
    if (url.origin !== self.location.origin) return;
    if (request.method === "POST" && OTHER_PERSON.has(url.pathname)) event.waitUntil(forget());
    if (request.method !== "GET") return;
    if (url.pathname.startsWith("/assets/")) event.respondWith(asset(request));
    else if (url.pathname.startsWith("/api/v1/blobs/")) event.respondWith(picture(request));
    else if (url.pathname === GROUND) event.respondWith(ground(request));
    else if (url.pathname === TOKEN) event.respondWith(token(request));
    else if (PAGE.test(url.pathname)) event.respondWith(page(event));
    else if (request.mode === "navigate") event.respondWith(other(request));
  });

  // ---- life --------------------------------------------------------------------------------------------------------

  self.addEventListener("install", (event) => {
    const fill = async () => {
      const cache = await caches.open(ASSETS);
      await cache.addAll([...files, fallback]);
      await self.skipWaiting();
    };
    event.waitUntil(fill());
  });

  self.addEventListener("activate", (event) => {
    const tidy = async () => {
      const cache = await caches.open(ASSETS);
      const wanted = new Set([...files, fallback]);
      for (const key of await cache.keys()) if (!wanted.has(new URL(key.url).pathname)) await cache.delete(key);
      await self.clients.claim();
    };
    event.waitUntil(tidy());
  });

  self.addEventListener("message", (event) => {
    if (event.data?.keep) event.waitUntil(keepAll(event.data.keep, event.data.savesData));
  });

  // Background Sync, where there is one: the page may be closed when the network comes back.
  self.addEventListener("sync", (event) => {
    const sendOrFail = async () => {
      const { send, outcomes } = self.anlanQueue;
      if ((await send()) === outcomes.CUT) throw new Error("no network yet");
    };
    event.waitUntil(sendOrFail());
  });
})();
