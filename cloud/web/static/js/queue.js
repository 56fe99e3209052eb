"use strict";
// Steps of work orders that wait for a network: kept in the browser's database, sent in order, each done once.
//
// Pages and the service worker share this file. A step is what a form of /orders/{code}/move says, and besides: `action`,
// its name, by which the server does it once however often it comes; `login`, whose it is; `from` and `to`, the states
// that it leads from and to; `at`, when the button was pressed. It is `waiting`, then `sent` (and forgotten as soon as a
// page shows it done) or `refused` (and kept until the person has seen why).
/* oxlint-disable no-await-in-loop -- steps go one after the other */
/* oxlint-disable unicorn/require-post-message-target-origin -- a channel has none */
self.anlanQueue = (() => {
  const DATABASE = "anlan-orders";
  const STORE = "steps";
  const SEND_MS = 120_000; // a photo over a bad network
  const ASK_MS = 20_000;
  const WAITED_MS = 15_000; // the time of the button is sent along with what waited longer
  const JSON_TYPE = "application/json";
  const changes = self.BroadcastChannel && new BroadcastChannel(DATABASE);

  // ---- the database -----------------------------------------------------------------------------------------------

  const connect = () =>
    new Promise((resolve, reject) => {
      const asked = indexedDB.open(DATABASE, 1);
      asked.addEventListener("upgradeneeded", () => {
        asked.result.createObjectStore(STORE, { keyPath: "number", autoIncrement: true });
      });
      asked.addEventListener("success", () => resolve(asked.result));
      asked.addEventListener("error", () => reject(asked.error));
    });

  const within = async (mode, work) => {
    const database = await connect();
    try {
      // "strict": on the disk when this returns, so that an empty battery loses nothing.
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      const done = new Promise((resolve, reject) => {
        transaction.addEventListener("complete", resolve);
        transaction.addEventListener("abort", () => reject(transaction.error));
      });
      const asked = work(transaction.objectStore(STORE));
      await done;
      return asked.result;
    } finally {
      database.close();
    }
  };

  const all = () => within("readonly", (store) => store.getAll());

  const listeners = [];

  // Tell whoever shows the queue, in this tab and in others.
  const listen = (listener) => {
    listeners.push(listener);
    changes?.addEventListener("message", listener);
  };

  const change = async (work) => {
    await within("readwrite", work);
    changes?.postMessage("changed");
    for (const listener of listeners) listener();
  };

  const add = (step) => change((store) => store.add({ ...step, state: "waiting" }));
  const put = (step) => change((store) => store.put(step));
  const remove = (number) => change((store) => store.delete(number));

  // ---- sending ----------------------------------------------------------------------------------------------------

  // A step ends in one of these; all but "sent" and "refused" leave it waiting.
  const SENT = "sent";
  const REFUSED = "refused";
  const CUT = "cut";
  const SIGN_IN = "sign-in";
  const OTHERS = "others";

  const ask = async (address, options, limit) => {
    const control = new AbortController();
    setTimeout(() => control.abort(), limit); // holds for reading the answer too
    try {
      return await fetch(address, {
        cache: "no-store",
        redirect: "manual",
        signal: control.signal,
        ...options,
        headers: { Accept: JSON_TYPE, ...options.headers },
      });
    } catch {
      return null; // no network, or none that is quick enough
    }
  };

  const read = async (answer) => {
    if (!answer.headers.get("Content-Type")?.startsWith(JSON_TYPE)) return null;
    try {
      return await answer.json();
    } catch {
      return null; // it was cut off
    }
  };

  // A page that was kept has an old token, so a fresh one is asked for first.
  const askToken = async () => {
    const answer = await ask("/orders/token", {}, ASK_MS);
    if (answer?.type === "opaqueredirect" || answer?.status === 404) return { outcome: SIGN_IN };
    const token = answer?.ok ? await read(answer) : null;
    return token?.csrf ? { token } : { outcome: CUT };
  };

  const formOf = (step, now) => {
    const form = new FormData();
    for (const [name, value] of step.fields) form.append(name, value);
    form.set("action", step.action);
    const waited = Date.now() - step.at;
    // By the server's clock: a phone's may be wrong, but not the time that has passed on it.
    if (waited > WAITED_MS) form.set("pressed_at", String(now - waited));
    if (step.photo) form.set("photo", step.photo, "photo");
    return form;
  };

  const post = async (step, token) => {
    const headers = { "X-CSRF-Token": token.csrf };
    const options = { method: "POST", body: formOf(step, token.now), headers };
    const answer = await ask(`/orders/${step.code}/move`, options, SEND_MS);
    if (answer === null || answer.status >= 500) return { outcome: CUT };
    if (answer.type === "opaqueredirect") return { outcome: SIGN_IN };
    const said = await read(answer);
    if (answer.ok && said?.version) return { outcome: SENT, version: said.version };
    if (said?.error) return { outcome: REFUSED, why: said.error };
    // What is not ours, such as the page of a network that wants one to sign in, says nothing of the step.
    return { outcome: answer.status === 413 ? REFUSED : CUT, why: "" };
  };

  // Steps behind one that was refused were pressed in the belief that it is done.
  const refuse = async (step, why) => {
    await put({ ...step, state: "refused", why });
    for (const other of await all()) {
      const isBehind = other.number > step.number && other.code === step.code && other.login === step.login;
      if (isBehind && other.state === "waiting") await put({ ...other, state: "refused", why: null });
    }
  };

  const sendAll = async () => {
    let given = null;
    for (;;) {
      const waiting = (await all()).filter((step) => step.state === "waiting");
      if (waiting.length === 0) return SENT;
      given ??= await askToken();
      if (!given.token) return given.outcome;
      const step = waiting.find((one) => one.login === given.token.login);
      if (!step) return OTHERS;
      const { outcome, version, why } = await post(step, given.token);
      if (outcome === SENT) await put({ ...step, state: "sent", version_after: version, photo: null });
      else if (outcome === REFUSED) await refuse(step, why);
      else return outcome;
    }
  };

  // One at a time, of all tabs and the service worker: the order of steps is the order in which they were pressed.
  const send = () => navigator.locks.request(DATABASE, sendAll);

  return { add, all, remove, send, listen, outcomes: { SENT, CUT, SIGN_IN, OTHERS } };
})();
