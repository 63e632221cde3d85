"use strict";
// Draws one episode, of a report or of a page of its own: drawEpisode(box, episode, {kinds, query}).
const drawEpisode = (() => {
  const number = (value) => String(Math.round(value * 100) / 100).replace("-", "−");
  const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const signed = (value) => (value < 0 ? "" : "+") + number(value);

  // What an episode holds was written by models: it enters the page as text only.
  function element(tag, className, ...content) {
    const made = document.createElement(tag);
    made.className = className;
    made.append(...content);
    return made;
  }

  // The text with every occurrence of the query in a <mark>.
  function marked(text, query) {
    if (!query) return [text];
    const pattern = new RegExp(`(${query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")})`, "gi");
    return text.split(pattern).map((part, i) => (i % 2 ? element("mark", "", part) : part));
  }

  function turnCell(episode, turn, points, query) {
    const cell = element("div", "turn");
    if (turn && turn.told) cell.append(element("p", "told", turn.told));
    const line = element("p", "line");
    if (turn) {
      const kind = turn.cooperates ?? turn.honest ?? null;
      const tone = !turn.valid || kind === null ? "" : kind ? " good" : " bad";
      if (turn.topic) line.append(element("small", "topic", turn.topic));
      line.append(element("span", "said" + tone, ...marked(turn.answer, query)));
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

  function showRound(episode, round, index, query) {
    const made = element("section", "round", element("h3", "", `Round ${index + 1}`));
    made.classList.toggle("found", Boolean(round.found));
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
        line.append(turnCell(episode, row.find((turn) => turn.player === player), last && points, query));
      });
      made.append(line);
    }
    for (const player of round.exploited ?? []) made.append(element("p", "exploited", `${upper(episode.seats[player])} is exploited in this round.`));
    return made;
  }

  return (box, episode, { kinds, query = "" }) => {
    const seats = element("div", "row seats");
    episode.policies.forEach((policy, player) => {
      const role = episode.learners[player] ? `trains ${episode.learners[player]}` : "does not train";
      seats.append(element("p", "", element("b", "", policy), ` ${episode.seats[player]}, ${role}`));
    });
    const training = episode.learners.some((learner) => learner !== null);
    const place = `Iteration ${episode.iteration}, group ${episode.group}, episode ${episode.index}, game seed ${episode.seed}; ${kinds[episode.kind]}.`;
    const facts = training ? place : `Game seed ${episode.seed}.`;
    box.style.setProperty("--players", episode.policies.length);
    box.replaceChildren(element("p", "muted", facts), seats, ...episode.rounds.map((round, i) => showRound(episode, round, i, query)));
  };
})();
