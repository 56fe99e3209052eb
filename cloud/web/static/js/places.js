"use strict";
// Where the person is, to go along with a step: offered, said while it will go along, and left out at will.
self.anlanPlaces = (() => {
  const DENIED = 1;
  let place = null;
  let problem = "";

  const show = () => {
    const line = document.querySelector("#act .place");
    if (!line) return;
    const said = line.querySelector(".said");
    const metres = Math.max(1, Math.round(place?.accuracy ?? 0));
    said.textContent = place ? line.dataset.found.replace("{}", metres) : (line.dataset[problem] ?? "");
    line.querySelector("[data-locate]").hidden = place !== null;
    line.querySelector("[data-leave-out]").hidden = place === null;
    line.hidden = false;
  };

  const locate = () =>
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        place = coords;
        show();
      },
      ({ code }) => {
        problem = code === DENIED ? "denied" : "nowhere";
        show();
      },
      { maximumAge: 60_000, timeout: 20_000, enableHighAccuracy: true },
    );

  // Without asking where the person has allowed it before; otherwise a button asks.
  const offer = async () => {
    if (!document.querySelector("#act .place") || !navigator.geolocation) return;
    show();
    const { state } = (await navigator.permissions?.query({ name: "geolocation" })) ?? {};
    if (state === "granted" && !place && problem !== "left") locate();
  };

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-locate]")) locate();
    if (!event.target.closest("[data-leave-out]")) return;
    place = null;
    problem = "left";
    show();
  });

  return { offer, place: () => place };
})();
