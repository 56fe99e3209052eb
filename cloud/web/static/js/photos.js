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

  const preview = (input) => {
    const image = input.closest(".photo").querySelector(".preview");
    const [file] = input.files;
    image.hidden = !file;
    if (file) image.src = URL.createObjectURL(file);
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches(".photo input")) preview(event.target);
  });

  return { shrink };
})();
