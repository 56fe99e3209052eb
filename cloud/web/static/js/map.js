"use strict";
// Maps: Leaflet on a ground of our own, or on tiles where the cloud has a server of them.
//
// The macros of templates/parts/map.html write these elements; without JavaScript what stands inside them is shown.
//
//   data-map                         a map; its height comes from a class: map, map small, map tall
//   data-base  data-grids            addresses of the ground (GeoJSON) and of the grids' outlines, each optional
//   data-icons                       address of icons.svg
//   data-words                       the words that the map says by itself, translated, as JSON
//   data-tiles  data-attribution     optional: a tile server, and whose map it is
// and one of
//   data-src                         what is on it (/map/overview.json); asked again when the live stream names a change
//   data-latitude  data-longitude    one position that stands still, called data-label, drawn as data-symbol
//   data-map-pick                    to choose a position: data-latitude-input and data-longitude-input are the ids of
//                                    the form's fields, data-grid-output that of the element that says which grid it is
//                                    in; data-sites names what is there already: choosing one sends "map:site"; the one
//                                    that is ticked in the field data-site-field is marked
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const STILL = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const RENEW_MS = 3000;
  const CLOSE = 17;
  const NEAR = 18; // buildings have their names from here on
  const EARTH_M = 156543.034; // metres of one pixel at zoom 0 on the equator
  const CASED = new Set(["road", "rail"]);
  const NAMED = { permanent: true, direction: "center", opacity: 1 };
  let lines = 0;

  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };

  const drawIcon = (icons, name) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `${icons}#${name}`);
    svg.append(use);
    return svg;
  };

  const ask = async (address) => {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    return answer.json();
  };

  // ---- the ground ----------------------------------------------------------------------------------------------

  const style = (className) => ({ className, stroke: true, fill: true, interactive: false });

  // The name of a road lies along it; one that reads from right to left is turned round.
  const nameAlong = (layer, name, className) => {
    const path = layer.getElement();
    if (!path) return;
    path.id = `map-line-${++lines}`;
    const text = document.createElementNS(SVG, "text");
    text.setAttribute("class", `map-name ${className}`);
    text.setAttribute("dy", "0.35em");
    const along = document.createElementNS(SVG, "textPath");
    along.setAttribute("href", `#${path.id}`);
    along.setAttribute("startOffset", "50%");
    along.textContent = name;
    text.append(along);
    path.parentNode.append(text);
  };

  const isBackwards = (corners) => corners[0][0] > corners.at(-1)[0];

  const drawGround = (map, ground) => {
    const pane = map.createPane("ground");
    pane.setAttribute("aria-hidden", "true");
    const renderer = L.svg({ pane: "ground", padding: 0.5 });
    const draw = (features, className) =>
      L.geoJSON(features, {
        pane: "ground",
        renderer,
        interactive: false,
        style: (feature) => style(`${className} ${feature.geometry.type.includes("Line") ? "line" : "face"}`),
      }).addTo(map);
    const byKind = new Map();
    for (const feature of ground.features) {
      const { coordinates, type } = feature.geometry;
      if (type === "LineString" && isBackwards(coordinates)) coordinates.reverse();
      const kind = feature.properties.kind;
      byKind.set(kind, [...(byKind.get(kind) ?? []), feature]);
    }
    const layers = [];
    for (const [kind, features] of byKind) {
      if (CASED.has(kind)) layers.push(draw(features, `map-${kind} casing`));
      layers.push(draw(features, `map-${kind}`));
    }
    for (const layer of layers) {
      layer.eachLayer((line) => {
        const { kind, name, width_m: width } = line.feature.properties;
        if (width) line.getElement()?.style.setProperty("--map-width", width);
        const isCasing = line.options.className.includes("casing");
        if (!name || isCasing || line.feature.geometry.type.startsWith("Multi")) return;
        if (line.feature.geometry.type === "LineString") nameAlong(line, name, kind);
        else line.bindTooltip(make("span", "", name), { ...NAMED, className: `map-name ${kind}` });
      });
    }
    return layers.length ? L.featureGroup(layers).getBounds() : null;
  };

  // Names that do not fit on their road, or that would lie on another name, are left out until there is room.
  const thinNames = (map) => {
    const taken = [...map.getContainer().querySelectorAll(".map-site")].map((site) => site.getBoundingClientRect());
    for (const text of map.getPane("ground")?.querySelectorAll("text") ?? []) {
      const path = document.querySelector(text.firstChild.getAttribute("href"));
      text.classList.toggle("crowded", path.getTotalLength() < text.getComputedTextLength() + 16);
    }
    for (const name of map.getContainer().querySelectorAll(".leaflet-tooltip.map-grid, .leaflet-tooltip.map-name")) {
      const box = name.getBoundingClientRect();
      const isOver = taken.some(
        (other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom,
      );
      name.classList.toggle("crowded", isOver);
      if (!isOver) taken.push(box);
    }
  };

  const drawGrids = (map, grids) => {
    const pane = map.createPane("grids");
    pane.setAttribute("aria-hidden", "true");
    const renderer = L.svg({ pane: "grids", padding: 0.5 });
    const outlines = grids.map((grid) =>
      L.polygon(grid.area.map(([longitude, latitude]) => [latitude, longitude]), { renderer, ...style("map-outline") })
        .bindTooltip(make("span", "", grid.name), { ...NAMED, className: "map-grid" })
        .addTo(map),
    );
    return outlines.length ? L.featureGroup(outlines).getBounds() : null;
  };

  const fitScale = (map) => {
    if (!map.getContainer().isConnected) return; // the page has gone on
    const metres = (EARTH_M * Math.cos((map.getCenter().lat * Math.PI) / 180)) / 2 ** map.getZoom();
    map.getContainer().style.setProperty("--map-metre", `${1 / metres}px`);
    map.getContainer().classList.toggle("near", map.getZoom() >= NEAR);
    thinNames(map);
  };

  // ---- what every map has --------------------------------------------------------------------------------------

  const open = async (element) => {
    const { base, grids, tiles, attribution } = element.dataset;
    const words = JSON.parse(element.dataset.words);
    const [ground, areas] = await Promise.all([base ? ask(base) : null, grids ? ask(grids) : null]);
    element.replaceChildren();
    const map = L.map(element, {
      zoomControl: false,
      attributionControl: false,
      minZoom: 3,
      maxZoom: 20,
      zoomSnap: 0.5,
      zoomAnimation: !STILL,
      fadeAnimation: !STILL,
      markerZoomAnimation: !STILL,
      inertia: !STILL,
    });
    map.setView([30, 110], 4);
    L.control.zoom({ zoomInTitle: words.nearer, zoomOutTitle: words.farther }).addTo(map);
    L.control.scale({ imperial: false, position: "bottomleft" }).addTo(map);
    if (attribution) {
      const whose = make("span", "", attribution);
      L.control.attribution({ prefix: false }).addAttribution(whose.innerHTML).addTo(map);
    }
    if (tiles) L.tileLayer(tiles, { maxZoom: 20 }).addTo(map);
    const groundBounds = ground ? drawGround(map, ground) : null;
    const gridBounds = areas?.length ? drawGrids(map, areas) : null;
    map.on("zoomend moveend", () => fitScale(map));
    map.on("popupopen", ({ popup }) => {
      popup.getElement().querySelector(".leaflet-popup-close-button")?.setAttribute("aria-label", words.close);
    });
    element.addEventListener("keydown", ({ key }) => key === "Escape" && map.closePopup());
    return { map, words, icons: element.dataset.icons, areas: areas ?? [], bounds: gridBounds ?? groundBounds };
  };

  const show = ({ map, bounds }, wanted) => {
    const box = wanted?.isValid() ? wanted : bounds;
    if (box) map.fitBounds(box.pad(0.08), { animate: false, maxZoom: 18 });
    fitScale(map);
  };

  const addMarker = (map, position, { icon, label, options }) => {
    const marker = L.marker(position, { icon, ...options }).addTo(map);
    const element = marker.getElement();
    element.setAttribute("aria-label", label);
    if (!element.hasAttribute("role")) element.setAttribute("role", "img"); // one that stands still is no button
    // What was opened has the focus, and gives it back.
    marker.on("popupopen", ({ popup }) => {
      if (document.activeElement === element) popup.getElement().querySelector("a[href]:not([role]), .button")?.focus();
    });
    marker.on("popupclose", () => {
      if (document.activeElement === document.body) element.focus({ preventScroll: true });
    });
    return marker;
  };

  // ---- the overview --------------------------------------------------------------------------------------------

  const siteIcon = (icons, site) => {
    const body = make("span", `map-site ${site.tone}`);
    body.append(drawIcon(icons, site.symbol));
    if (site.count > 1) body.append(make("span", "map-count", String(site.count)));
    if (site.gateway) {
      const mast = make("span", "map-mast");
      mast.append(drawIcon(icons, "gateways"));
      body.append(mast);
    }
    const size = site.tone === "good" || site.tone === "none" || site.tone === "known" ? 30 : 40;
    return L.divIcon({ html: body, className: "map-marker", iconSize: [size, size] });
  };

  const siteCard = (icons, site) => {
    const card = make("div", "map-card");
    card.append(make("strong", "", site.name), make("span", "soft small", site.place));
    const list = make("ul", "map-lines");
    for (const line of site.lines) {
      const item = make("li", line.tone);
      const body = line.href ? make("a") : make("span");
      if (line.href) body.href = line.href;
      body.append(drawIcon(icons, line.symbol), make("span", "", line.text));
      item.append(body);
      list.append(item);
    }
    card.append(list);
    return card;
  };

  class Overview {
    constructor(parts, address) {
      Object.assign(this, parts, { address, markers: new Map(), wires: L.layerGroup(), due: 0 });
      this.map.createPane("wires").setAttribute("aria-hidden", "true");
      this.wires.addTo(this.map);
      this.renderer = L.svg({ pane: "wires" });
    }

    async renew() {
      const { sites, wires } = await ask(this.address);
      for (const [code, { marker }] of this.markers) {
        if (sites.some((site) => site.code === code)) continue;
        marker.remove();
        this.markers.delete(code);
      }
      for (const site of sites) this.place(site);
      this.wires.clearLayers();
      for (const { from, to, tone } of wires) {
        L.polyline([from, to], { renderer: this.renderer, ...style(`map-wire ${tone}`) }).addTo(this.wires);
      }
      return L.latLngBounds(sites.map(({ latitude, longitude }) => [latitude, longitude]));
    }

    place(site) {
      const text = JSON.stringify(site);
      const known = this.markers.get(site.code);
      if (known?.text === text) return;
      const icon = siteIcon(this.icons, site);
      const position = [site.latitude, site.longitude];
      const marker = known?.marker ?? addMarker(this.map, position, { icon, label: site.label });
      const card = () => siteCard(this.icons, site); // made when it is opened
      if (known) marker.setLatLng(position).setIcon(icon).setPopupContent(card);
      else marker.bindPopup(card, { maxWidth: 320, minWidth: 220 });
      marker.setZIndexOffset(site.urgency * 1000);
      marker.getElement().setAttribute("aria-label", site.label);
      this.markers.set(site.code, { marker, text });
    }

    // Changes that come quickly one after another are one.
    soon() {
      if (this.due) return;
      this.due = setTimeout(async () => {
        this.due = 0;
        try {
          await this.renew();
        } catch {
          this.soon(); // away for a moment; what is shown stays
        }
      }, RENEW_MS);
    }
  }

  const overviews = new Set();
  const heard = new WeakSet();
  const renewAll = () => {
    for (const overview of overviews) overview.soon();
  };
  // The page's live stream may be open long before a map is seen; the same one opens again after each pause.
  document.addEventListener("htmx:sseOpen", ({ detail }) => {
    if (heard.has(detail.source)) return;
    heard.add(detail.source);
    for (const topic of ["orders", "gateways"]) detail.source.addEventListener(topic, renewAll);
  });

  const openOverview = async (element) => {
    const overview = new Overview(await open(element), element.dataset.src);
    const bounds = await overview.renew();
    show(overview, bounds);
    overviews.add(overview);
  };

  // ---- one position --------------------------------------------------------------------------------------------

  const openPosition = async (element) => {
    const parts = await open(element);
    const { label, symbol } = element.dataset;
    const position = [Number(element.dataset.latitude), Number(element.dataset.longitude)];
    const body = make("span", `map-site ${element.dataset.tone ?? "brand"}`);
    body.append(drawIcon(parts.icons, symbol || "map"));
    const icon = L.divIcon({ html: body, className: "map-marker", iconSize: [40, 40] });
    parts.map.dragging.disable();
    parts.map.scrollWheelZoom.disable();
    addMarker(parts.map, position, { icon, label, options: { keyboard: false, interactive: false } });
    parts.map.setView(position, CLOSE, { animate: false });
    fitScale(parts.map);
  };

  // ---- choosing a position -------------------------------------------------------------------------------------

  const isInside = (area, longitude, latitude) => {
    let inside = false;
    for (const [index, [lon, lat]] of area.entries()) {
      const [nextLon, nextLat] = area[(index + 1) % area.length];
      const crosses = lat > latitude !== nextLat > latitude;
      if (crosses && longitude < lon + ((latitude - lat) * (nextLon - lon)) / (nextLat - lat)) inside = !inside;
    }
    return inside;
  };

  class Picker {
    constructor(parts, element) {
      Object.assign(this, parts, { element, marker: null, sites: [], form: element.closest("form") });
      const { latitudeInput, longitudeInput, gridOutput } = element.dataset;
      this.fields = [latitudeInput, longitudeInput].map((id) => document.getElementById(id));
      this.output = gridOutput ? document.getElementById(gridOutput) : null;
      for (const field of this.fields) field.addEventListener("change", () => this.follow({ move: true }));
      this.map.on("click", ({ latlng }) => this.pick(latlng));
      this.addButtons();
    }

    addButtons() {
      const row = make("div", "row map-buttons");
      const add = (symbol, text, action) => {
        const button = make("button", "button");
        button.type = "button";
        button.append(drawIcon(this.icons, symbol), make("span", "", text));
        button.addEventListener("click", () => action(button));
        row.append(button);
      };
      if (navigator.geolocation) add("map", this.words.here, (button) => this.locate(button));
      add("add", this.words.centre, () => this.pick(this.map.getCenter()));
      this.said = make("p", "small soft");
      this.said.setAttribute("role", "status");
      this.element.after(row, this.said);
    }

    locate(button) {
      button.setAttribute("aria-busy", "true");
      const done = (text) => {
        button.removeAttribute("aria-busy");
        this.said.textContent = text;
      };
      navigator.geolocation.getCurrentPosition(
        ({ coords }) => {
          this.pick(L.latLng(coords.latitude, coords.longitude));
          this.map.setView([coords.latitude, coords.longitude], 18, { animate: false });
          done(this.words.accuracy.replace("{metres}", String(Math.round(coords.accuracy))));
        },
        () => done(this.words.nowhere),
        { enableHighAccuracy: true, timeout: 15_000, maximumAge: 30_000 },
      );
    }

    pick({ lat, lng }) {
      [this.fields[0].value, this.fields[1].value] = [lat.toFixed(6), lng.toFixed(6)];
      for (const field of this.fields) field.dispatchEvent(new Event("input", { bubbles: true }));
      this.follow({ move: false });
      this.element.dispatchEvent(new CustomEvent("map:picked", { bubbles: true }));
    }

    // Put the marker where the fields say; they can be typed into as well.
    follow({ move }) {
      const [latitude, longitude] = this.fields.map((field) => (field.value.trim() ? Number(field.value) : NaN));
      const isPlace = Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180;
      if (!isPlace) {
        this.marker?.remove();
        this.marker = null;
      } else if (this.marker) this.marker.setLatLng([latitude, longitude]);
      else this.addPin([latitude, longitude]);
      if (isPlace && move) this.map.setView([latitude, longitude], Math.max(this.map.getZoom(), CLOSE), { animate: false });
      if (this.output) this.output.textContent = isPlace ? this.gridAt(longitude, latitude) : "";
      return isPlace;
    }

    addPin(position) {
      const body = make("span", "map-site brand pin");
      body.append(drawIcon(this.icons, "map"));
      const icon = L.divIcon({ html: body, className: "map-marker", iconSize: [44, 44], iconAnchor: [22, 40] });
      const options = { draggable: true, autoPan: true, keyboard: false, zIndexOffset: 5000 };
      this.marker = addMarker(this.map, position, { icon, label: this.words.chosen, options });
      this.marker.on("dragend", () => this.pick(this.marker.getLatLng()));
    }

    gridAt(longitude, latitude) {
      const grid = this.areas.find(({ area }) => isInside(area, longitude, latitude));
      return grid ? this.words.inside.replace("{grid}", grid.name) : this.words.outside;
    }

    iconOf(site, isChosen = false) {
      return siteIcon(this.icons, { ...site, symbol: "map", tone: isChosen ? "brand" : "known", count: 0 });
    }

    // The site that is ticked in the form, unless its list is hidden because it is to be a new one.
    chosenSite() {
      const ticked = this.form?.querySelector(`input[name="${this.element.dataset.siteField}"]:checked`);
      return ticked?.checkVisibility() ? ticked.value : "";
    }

    markChosen() {
      const code = this.chosenSite();
      for (const { site, marker } of this.sites) {
        const isChosen = site.code === code;
        if (marker.isChosen === isChosen) continue;
        marker.isChosen = isChosen;
        marker.setIcon(this.iconOf(site, isChosen)).setZIndexOffset(isChosen ? 4000 : 0);
        marker.getElement().setAttribute("aria-label", isChosen ? `${site.name}: ${this.words.chosen}` : site.name);
      }
    }

    async addSites(address) {
      const { sites } = await ask(address);
      for (const site of sites) {
        const marker = addMarker(this.map, [site.latitude, site.longitude], { icon: this.iconOf(site), label: site.name });
        this.sites.push({ site, marker });
        const card = make("div", "map-card");
        const choose = make("button", "button primary", this.words.choose);
        choose.type = "button";
        choose.addEventListener("click", () => {
          this.map.closePopup();
          this.element.dispatchEvent(new CustomEvent("map:site", { bubbles: true, detail: { code: site.code } }));
        });
        card.append(make("strong", "", site.name), make("span", "soft small", site.place), choose);
        marker.bindPopup(card, { minWidth: 200 });
      }
      for (const change of ["change", "htmx:afterSwap"]) this.form?.addEventListener(change, () => this.markChosen());
      this.markChosen();
      return L.latLngBounds(sites.map(({ latitude, longitude }) => [latitude, longitude]));
    }
  }

  const openPicker = async (element) => {
    const picker = new Picker(await open(element), element);
    const known = element.dataset.sites ? await picker.addSites(element.dataset.sites) : null;
    show(picker, known);
    if (picker.follow({ move: false })) picker.map.setView(picker.marker.getLatLng(), CLOSE, { animate: false });
  };

  // A map that lies in a folded part is drawn when it is seen for the first time.
  const start = async (element) => {
    element.dataset.started = "";
    const { mapPick, src } = element.dataset;
    try {
      if (mapPick !== undefined) await openPicker(element);
      else await (src ? openOverview(element) : openPosition(element));
    } catch {
      element.append(make("p", "map-failed", JSON.parse(element.dataset.words).failed));
    }
  };
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || target.dataset.started !== undefined) continue;
      seen.unobserve(target);
      start(target);
    }
  });
  const watch = (root) => {
    for (const element of root.querySelectorAll("[data-map], [data-map-pick]")) seen.observe(element);
  };
  watch(document);
  document.addEventListener("htmx:load", ({ detail }) => watch(detail.elt));
})();
