"use strict";
(() => {
  const data = JSON.parse(get("data").textContent);
  const box = get("transcript");
  get("rules").replaceChildren(...data.rules.map((text) => element("pre", "", text)));
  drawEpisode(box, data.episodes[0], data);
  get("show-told").addEventListener("change", (event) => box.classList.toggle("with-told", event.target.checked));
  get("only-found")?.addEventListener("change", (event) => box.classList.toggle("only-found", event.target.checked));
})();
