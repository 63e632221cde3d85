"use strict";
(() => {
  const { offers, opponent } = JSON.parse(get("offers").textContent);
  const form = get("play");
  const { game, seat, opponent: pick, version, typed } = form.elements;
  const TYPED = "\u0000another";
  const option = (value, text = value) => Object.assign(document.createElement("option"), { value, textContent: text });

  function group(label, options) {
    const made = document.createElement("optgroup");
    made.label = label;
    made.append(...options);
    return made;
  }

  // Whom this game can be played with, those that were made for it first.
  function fill() {
    const offer = offers.games[game.value];
    const before = pick.value;
    const seats = Array.from({ length: offer.seats }, (_, i) => option(i, offer.roles[i] ?? `player ${i + 1}`));
    const runs = [...offers.runs].sort((a, b) => (b.game === offer.game) - (a.game === offer.game));
    get("about").textContent = offer.about;
    seat.replaceChildren(...seats);
    pick.replaceChildren(
      group("scripts", offer.scripts.map((name) => option(name, name.replaceAll("_", " ")))),
      ...(runs.length ? [group("runs", runs.map((run) => option(run.name, `${run.name} (${run.game})`)))] : []),
      group("models as they are", offers.models.map((name) => option(name))),
      group("others", [option(TYPED, "another name …")]),
    );
    if ([...pick.options].some((each) => each.value === before)) pick.value = before;
    choose();
  }

  function choose() {
    const run = offers.runs.find((each) => each.name === pick.value);
    get("typed").hidden = pick.value !== TYPED;
    get("version").hidden = !run;
    if (run) version.replaceChildren(...[...run.versions].reverse().map((each, i) => option(each, i ? each : `${each}, the newest`)));
  }

  function named() {
    if (pick.value === TYPED) return typed.value;
    return get("version").hidden ? pick.value : `${pick.value}@${version.value}`;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble("");
    get("starting").textContent = "The game is being set up …";
    try {
      const { address } = await ask("/play", { game: game.value, seat: Number(seat.value), opponent: named() });
      location.assign(address);
    } catch (error) {
      trouble(error.message);
    }
    get("starting").textContent = "";
  });
  game.addEventListener("change", fill);
  pick.addEventListener("change", choose);
  fill();
  if (opponent) {
    const known = [...pick.options].some((each) => each.value === opponent);
    pick.value = known ? opponent : TYPED;
    if (!known) typed.value = opponent;
    choose();
  }
})();
