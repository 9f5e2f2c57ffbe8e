// The search for images: what is pointed at in the list lights up on the map, and the other way round.

const marked = (key, on) => {
  for (const each of document.querySelectorAll(`[data-image="${key}"]`)) {
    each.classList.toggle("on", on);
  }
};

for (const each of document.querySelectorAll("[data-image]")) {
  for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) {
    each.addEventListener(event, () => marked(each.dataset.image, on));
  }
}

/** A picture that cannot be made leaves its place empty, with a word why. */
for (const image of document.querySelectorAll(".thumbnail img")) {
  const gone = () => {
    const place = image.parentElement;
    place.classList.add("none");
    place.textContent = "no picture";
  };
  image.complete && image.naturalWidth === 0 ? gone() : image.addEventListener("error", gone);
}
