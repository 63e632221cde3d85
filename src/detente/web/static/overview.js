"use strict";
keepLooking(3, async () => {
  const { html } = await ask("/rows");
  const box = get("overview");
  if (html !== box.dataset.html) swap(box, html);
  box.dataset.html = html;
});
