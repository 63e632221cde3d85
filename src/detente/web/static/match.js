"use strict";
(() => {
  const { id, players } = get("match").dataset;
  const alone = Number(players) <= 2; // against one other player
  const number = (value) => String(Math.round(value * 100) / 100).replace("-", "−");
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const list = (values) => values.map(number).join(", ");
  // What each of the others has in all, in the order of their seats.
  const totals = (rounds) => rounds.reduce((so, round) => round.map((points, i) => points + (so[i] ?? 0)), []);
  let shown = 0; // the number of the question on the page
  let drawn = ""; // what the history on the page was made from
  let looks = 0, newest = 0; // how often the page has looked, and which look it shows

  // Sends a line as the answer to a question; what the game does not take is explained and asked again.
  async function answer(question, line) {
    const problem = get("problem");
    try {
      const found = await ask(`/answer/${id}`, { number: question.number, line });
      problem.textContent = found.problem;
    } catch (error) {
      problem.textContent = error.message;
    }
    problem.hidden = !problem.textContent;
    if (!problem.textContent) get("question").hidden = true;
    await look();
  }

  const button = (text, click) => {
    const made = element("button", "primary", text);
    made.type = click ? "button" : "submit";
    if (click) made.addEventListener("click", click);
    return made;
  };

  async function leave() {
    try {
      await ask(`/leave/${id}`, {});
      await look();
    } catch (error) {
      trouble(error.message);
    }
  }

  // A field for a number with a slider beside it; either moves the other.
  function gap({ name, low, high }) {
    const half = Math.round((low + high) / 2);
    const [field, slider] = ["number", "range"].map((type) =>
      Object.assign(document.createElement("input"), { type, min: low, max: high, step: 1, value: half }));
    field.className = "amount";
    slider.setAttribute("aria-label", name);
    field.addEventListener("input", () => { slider.value = field.value; });
    slider.addEventListener("input", () => { field.value = slider.value; });
    return element("label", "gap", element("span", "", `${name}, ${low} to ${high}`), field, slider);
  }

  function show(question) {
    const form = get("question");
    const line = () => [...form.querySelectorAll(".amount")].map((field) => field.value).join(" ");
    const say = Object.assign(document.createElement(question.phase === "message" ? "textarea" : "input"), { className: "say", rows: 3 });
    say.setAttribute("aria-label", `your ${question.topic || question.phase}`);
    const asked = { message: "message", decision: question.choices.length ? "choice" : "answer" }[question.phase];
    const title = `Your ${question.topic || asked}`;
    const help = element("small", "muted", question.help);
    if (question.choices.length) {
      form.replaceChildren(element("h2", "", title), element("p", "choices", ...question.choices.map((each) => button(each, () => answer(question, each)))));
    } else if (question.gaps.length) {
      form.replaceChildren(element("h2", "", title), help, ...question.gaps.map(gap), button("Answer"));
    } else {
      form.replaceChildren(element("h2", "", title), help, say, button("Send"));
    }
    const leaving = button("Leave the game", leave);
    leaving.className = "leave";
    form.append(leaving);
    form.onsubmit = (event) => {
      event.preventDefault();
      answer(question, question.gaps.length ? line() : say.value);
    };
    form.dataset.number = question.number;
    form.hidden = false;
    get("problem").hidden = true;
    form.querySelector("textarea, input, button").focus({ preventScroll: true });
    get("match").scrollIntoView({ block: "end", behavior: "instant" });
  }

  // The history round by round: what the game said, what the person said, and what the round was worth.
  function history(state) {
    const last = Math.max(state.points.length, ...state.said.map(([round]) => round));
    return Array.from({ length: last }, (_, i) => {
      const said = state.said.filter(([round]) => round === i + 1)
        .map(([, who, text]) => element("p", who, who === "said" ? element("span", "said", text || "(nothing)") : text));
      const made = element("section", "round", element("h3", "", `Round ${i + 1}`), element("div", "talk", ...said));
      if (i < state.points.length) {
        const others = state.others ? `, the other${alone ? "" : "s"} ${list(state.others[i])}` : "";
        made.lastChild.append(element("p", "points", element("b", "", `you get ${number(state.points[i])}`), others));
      }
      return made;
    });
  }

  function score(state) {
    const own = `Your points so far: ${number(sum(state.points))}`;
    const others = state.others ? `, the other player${alone ? "'s" : "s'"}: ${list(totals(state.others))}` : "";
    const rounds = state.points.length;
    const over = `The game is over after ${rounds === 1 ? "1 round" : `${rounds} rounds`}. You got ${number(sum(state.points))} points, ${number(sum(state.points) / rounds)} per round`;
    return state.stage === "over" && rounds
      ? `${over}; the other player${alone ? "" : "s"} ${list(totals(state.others))}, ${list(totals(state.others).map((all) => all / rounds))} per round.`
      : `${own}${others}.`;
  }

  async function look() {
    const turn = ++looks;
    const state = await ask(`/state/${id}`);
    if (turn < newest) return { over: false, asked: false }; // a later look came back first
    newest = turn;
    const made = JSON.stringify([state.said, state.points, state.stage]);
    get("rules").hidden = !state.rules;
    get("rules").querySelector("pre").textContent = state.rules;
    if (drawn === "" && state.rules) get("rules").open = true;
    if (made !== drawn) get("rounds").replaceChildren(...history(state));
    drawn = state.rules ? made : "";
    get("points").hidden = !state.points.length;
    get("points").textContent = score(state);
    if (state.question && state.question.number !== shown) {
      shown = state.question.number;
      show(state.question);
    }
    if (!state.question) get("question").hidden = true;
    const waiting = { opening: "The opponent is being set up …", playing: alone ? "The other player is thinking …" : "The other players are thinking …" }[state.stage] ?? "";
    get("doing").textContent = state.question ? "" : waiting;
    if (state.problem) {
      get("problem").textContent = state.problem;
      get("problem").hidden = false;
    }
    const over = state.stage === "over" || state.stage === "failed";
    get("end").hidden = !over;
    get("transcript").hidden = !state.saved;
    get("transcript").href = `/episode?file=${encodeURIComponent(state.saved)}&n=0&in=played`;
    return { over, asked: Boolean(state.question) };
  }

  // Looks often while the other player thinks; seldom while the person does, to say that the page is still open.
  async function follow() {
    for (;;) {
      let found = { over: false, asked: false };
      try {
        found = await look();
        trouble("");
      } catch (error) {
        trouble(error.message);
      }
      if (found.over) return;
      await wait(found.asked ? 2 : 0.3);
    }
  }
  follow();
})();
