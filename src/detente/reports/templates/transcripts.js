"use strict";
(() => {
  const runs = JSON.parse(document.getElementById("episodes").textContent);
  const get = (id) => document.getElementById(id);
  const [pickRun, pickKind, pickIteration, pickEpisode] = ["run", "kind", "iteration", "episode"].map((name) => get("pick-" + name));

  function fill(select, entries) {
    const before = select.value;
    select.replaceChildren(...entries.map(([value, text]) => Object.assign(document.createElement("option"), { value, textContent: text })));
    if (entries.some(([value]) => String(value) === before)) select.value = before;
  }

  const run = () => runs[pickRun.value];
  const ofKind = () => run().episodes.filter((episode) => pickKind.value === "" || episode.kind === pickKind.value);
  const listed = () => ofKind().filter((episode) => pickIteration.value === "" || String(episode.iteration) === pickIteration.value);

  function update() {
    const present = Object.entries(run().kinds).filter(([kind]) => run().episodes.some((episode) => episode.kind === kind));
    fill(pickKind, [["", "all"], ...present]);
    const iterations = [...new Set(ofKind().map((episode) => episode.iteration))];
    fill(pickIteration, [["", "all"], ...iterations.map((iteration) => [iteration, iteration])]);
    fill(pickEpisode, listed().map((episode, i) => [i, `${i + 1}: iteration ${episode.iteration}, ${episode.policies.join(" – ")}`]));
    show();
  }

  function show() {
    const episode = listed()[pickEpisode.value];
    const rules = episode.rules.map((i) => Object.assign(document.createElement("pre"), { textContent: run().rules[i] }));
    get("rules").replaceChildren(...rules);
    drawEpisode(get("transcript"), episode, run());
  }

  function move(step) {
    const count = pickEpisode.options.length;
    pickEpisode.value = (Number(pickEpisode.value) + step + count) % count;
    show();
  }

  fill(pickRun, runs.map((each, i) => [i, each.label]));
  pickRun.parentElement.hidden = runs.length === 1;
  for (const select of [pickRun, pickKind, pickIteration]) select.addEventListener("change", update);
  pickEpisode.addEventListener("change", show);
  get("previous").addEventListener("click", () => move(-1));
  get("next").addEventListener("click", () => move(1));
  get("show-told").addEventListener("change", (event) => get("transcript").classList.toggle("with-told", event.target.checked));
  update();
})();
