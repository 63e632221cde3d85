"use strict";
(() => {
  const runs = JSON.parse(document.getElementById("episodes").textContent);
  const get = (id) => document.getElementById(id);
  const [pickRun, pickKind, pickIteration, pickEpisode] = ["run", "kind", "iteration", "episode"].map((name) => get("pick-" + name));
  const number = (value) => String(Math.round(value * 100) / 100).replace("-", "−");
  const signed = (value) => (value < 0 ? "" : "+") + number(value);

  // What an episode holds was written by models: it enters the page as text only.
  function element(tag, className, ...content) {
    const made = document.createElement(tag);
    made.className = className;
    made.append(...content);
    return made;
  }

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

  function turnCell(episode, turn, points) {
    const cell = element("div", "turn");
    if (turn && turn.told) cell.append(element("p", "told", turn.told));
    const line = element("p", "line");
    if (turn) {
      const kind = turn.cooperates ?? turn.honest ?? null;
      const tone = !turn.valid || kind === null ? "" : kind ? " good" : " bad";
      line.append(element("span", "said" + tone, turn.answer));
      if (!turn.valid) line.append(element("span", "flag", `invalid, ${turn.action} played instead`));
      else if (turn.action && turn.action !== turn.answer) line.append(element("b", "", turn.action));
      if (turn.valid && "honest" in turn) line.append(element("span", "", { true: "true", false: "not true", null: "no claim" }[turn.honest]));
      if ("received" in turn) line.append(element("span", "", `gets ${turn.received}`));
      if (turn.p !== null) line.append(element("span", "", `P(${episode.cooperative}) ${turn.p.toFixed(2)}`));
    }
    if (points) line.append(element("span", "points", element("b", "", points.gained), `total ${points.total}`));
    cell.append(line);
    return cell;
  }

  function showRound(episode, round, index) {
    const made = element("section", "round", element("h3", "", `Round ${index + 1}`));
    if (round.held) {
      const held = round.held.map((text) => element("p", "held", text));
      made.firstChild.append(element("small", "", round.stock));
      made.append(element("div", "row", ...held));
    }
    for (const row of round.rows) {
      const line = element("div", "row");
      const last = row === round.rows.at(-1);
      episode.policies.forEach((_, player) => {
        const points = { gained: signed(round.rewards[player]), total: number(round.totals[player]) };
        line.append(turnCell(episode, row.find((turn) => turn.player === player), last && points));
      });
      made.append(line);
    }
    return made;
  }

  function show() {
    const episode = listed()[pickEpisode.value];
    const rules = episode.rules.map((i) => element("pre", "", run().rules[i]));
    get("rules").replaceChildren(...rules);
    const seats = element("div", "row seats");
    episode.policies.forEach((policy, player) => {
      const role = episode.learners[player] ? `trains ${episode.learners[player]}` : "does not train";
      seats.append(element("p", "", element("b", "", policy), ` player ${player + 1}, ${role}`));
    });
    const facts = `Iteration ${episode.iteration}, group ${episode.group}, episode ${episode.index}, game seed ${episode.seed}; ${run().kinds[episode.kind]}.`;
    const box = get("transcript");
    box.style.setProperty("--players", episode.policies.length);
    box.replaceChildren(element("p", "muted", facts), seats, ...episode.rounds.map((round, i) => showRound(episode, round, i)));
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
