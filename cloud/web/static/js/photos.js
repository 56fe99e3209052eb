"use strict";
// Photos of a form: shown as soon as they are taken, and made small before they are sent.
self.anlanPhotos = (() => {
  const LONGEST_PX = 1600;
  const JPEG_QUALITY = 0.8;

  // Phones take pictures of many megabytes; what proves the work is seen in a few hundred kilobytes too.
  const shrink = async (file) => {
    try {
      const image = await createImageBitmap(file, { imageOrientation: "from-image" });
      const scale = Math.min(1, LONGEST_PX / Math.max(image.width, image.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(image.width * scale);
      canvas.height = Math.round(image.height * scale);
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      const small = await new Promise((resolve) => {
        canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY);
      });
      return small && small.size < file.size ? small : file;
    } catch {
      return file; // the browser cannot read it; the server says whether it can
    }
  };

  const SIGNATURES = [
    [0xff, 0xd8, 0xff],
    [0x89, 0x50, 0x4e, 0x47],
  ]; // of JPEG and PNG

  const isPicture = async (file) => {
    const first = new Uint8Array(await file.slice(0, 4).arrayBuffer());
    if (SIGNATURES.some((bytes) => bytes.every((byte, i) => byte === first[i]))) return true;
    try {
      (await createImageBitmap(file)).close(); // of another kind: it is sent as JPEG
      return true;
    } catch {
      return false;
    }
  };

  const preview = async (input) => {
    const field = input.closest(".photo");
    const image = field.querySelector(".preview");
    const [file] = input.files;
    const isGood = !file || (await isPicture(file));
    if (input.files[0] !== file) return; // another one was chosen meanwhile
    field.querySelector(".problem").hidden = isGood;
    if (!isGood) input.value = "";
    image.hidden = !file || !isGood;
    if (file && isGood) image.src = URL.createObjectURL(file);
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches(".photo input")) preview(event.target);
  });

  // Over the page and not instead of it: what is put on a phone's first screen has no button that leads back.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.picture");
    const shown = document.getElementById("picture");
    if (event.target.closest("#picture")) shown.close();
    if (!link || !shown || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const image = shown.querySelector("img");
    image.src = link.href;
    image.alt = link.querySelector("img").alt;
    shown.showModal();
  });

  document.documentElement.toggleAttribute("data-scripts", true); // one control for a photo is enough then
  return { shrink };
})();
