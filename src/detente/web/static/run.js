"use strict";
(() => {
  const box = get("parts");
  const { query } = box.dataset;
  const parts = [...box.querySelectorAll("[data-part]")];

  const near = new Set(); // the parts that can be seen, or nearly

  // A part that nobody sees is drawn later, when it is opened or comes near: the machine may be busy with training.
  function renew(part) {
    const wanted = part.open !== false && (near.has(part) || part.hidden || part.dataset.drawn !== "yes");
    part.dataset.stale = "yes";
    return wanted ? draw(part) : undefined;
  }

  // Fetches a part and puts it in its place without moving what the reader looks at.
  async function draw(part) {
    const inner = part.querySelector(".part");
    part.dataset.stale = "no";
    part.dataset.drawn = "yes";
    let html;
    try {
      ({ html } = await ask(`/part?${query}&name=${encodeURIComponent(part.dataset.part)}`));
    } catch (error) {
      inner.replaceChildren(element("p", "trouble", error.message));
      return;
    }
    const seen = parts.find((each) => each.getBoundingClientRect().bottom > 0) ?? part;
    const before = seen.getBoundingClientRect().top;
    part.hidden = html === "";
    swap(inner, html);
    window.scrollBy({ top: seen.getBoundingClientRect().top - before, behavior: "instant" });
  }

  function name() {
    const shown = parts.filter((part) => !part.hidden && part.querySelector("h2"));
    const links = shown.map((part) => Object.assign(element("a", "", part.querySelector("h2").textContent), { href: `#${part.id}` }));
    get("sections").replaceChildren(...links);
  }

  // Curves first: they are what changes, and what others need takes longer the first time.
  async function drawAll() {
    const order = [...parts].sort((a, b) => (b.id === "training") - (a.id === "training"));
    for (const part of order) {
      await renew(part);
      name();
    }
  }

  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      near[isIntersecting ? "add" : "delete"](target);
      if (isIntersecting && target.dataset.stale === "yes" && target.dataset.drawn === "yes") draw(target);
    }
  }, { rootMargin: "100%" });
  for (const part of parts) {
    seen.observe(part);
    part.addEventListener("toggle", () => { if (part.open && part.dataset.stale === "yes") draw(part); });
  }
  let heading = "";
  let drawing = drawAll().finally(() => { drawing = null; });
  keepLooking(2, async () => {
    const { html, stamp } = await ask(`/stamp?${query}`);
    if (html !== heading) swap(get("heading"), html);
    heading = html;
    if (drawing || stamp === box.dataset.stamp) return;
    box.dataset.stamp = stamp;
    drawing = drawAll().finally(() => { drawing = null; });
  });
})();
