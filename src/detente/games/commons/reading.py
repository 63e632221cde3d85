"""How reports read the commons: what sustainable and greedy players get, how long the stock lasts, and a verdict."""

from __future__ import annotations

from detente.games.commons.rules import Commons
from detente.games.reading import Anchor, Chapter, Column, Condition, Meet, Notes, Plot, Reading, Verdict
from detente.games.references import encounter
from detente.games.splitting.words import number
from detente.records import Round

REFERENCES = ("sustainable", "threshold", "greedy")
SUSTAINS = 0.9  # a sustainable group's minimum efficiency
WASTES = 0.1  # how far above a greedy group's efficiency one that exhausts the stock may be
CONDITIONS = {"start": "first month", "kept": "all others kept to their share", "overused": "another took more than its share"}


def reading(game: Commons, meet: Meet) -> Reading:
    """Of the commons; sustainable and greedy players meet for it."""
    ends = {name: encounter(meet, game, name, name) for name in ("sustainable", "greedy")}
    lines = {
        measure: tuple(Anchor(f"all {name} {known[measure]:.3g}", known[measure]) for name, known in ends.items())
        for measure in ("reward", "survival", "efficiency")
    }
    text = (
        "The share of asks for more than a sustainable share (an equal part of what can be taken so that the stock is full again), "
        "given what the others took in the month before. Dashed: threshold."
    )
    columns = tuple(Column(f"overuse_given/{treated}", treated, meaning) for treated, meaning in CONDITIONS.items())
    wasteful = ends["greedy"]["efficiency"] + WASTES
    return Reading(
        facts=("reward", "survival", "efficiency", "equality", "overuse"),
        contrast=("reward", "survival", "efficiency"),
        rivals=("greedy",),
        contrast_rivals=("greedy", "sustainable"),
        given={"overuse_given/kept": "kept", "overuse_given/overused": "overused"},
        given_title="overuse after",
        marked="threshold",
        anchors=lines["reward"],
        plots=(
            Plot(("survival",), "Months until the stock is gone in self-play", anchors=lines["survival"]),
            Plot(("efficiency", "equality"), "Efficiency (solid) and equality (dashed)", (0, 1), lines["efficiency"]),
            Plot(("reward",), "Points per round in self-play", anchors=lines["reward"]),
            Plot(("overuse",), "Asks for more than a sustainable share", (0, 1)),
        ),
        chapters=(Chapter("overuse", "How it answers overuse", text, "Share of asks at the end", columns, across=3),),
        note=", ".join(f"all {name} {known['reward']:.2f}" for name, known in ends.items()) + " points per round and player",
        verdicts=(
            Verdict(
                "sustains the stock",
                f"efficiency at least {SUSTAINS:g} in self-play",
                (Condition("self_play/efficiency", least=SUSTAINS),),
            ),
            Verdict(
                "exhausts the stock",
                f"efficiency at most {wasteful:.2g} in self-play",
                (Condition("self_play/efficiency", most=wasteful),),
            ),
            Verdict("in between", "neither sustains nor exhausts the stock"),
        ),
    )


def notes(game: Commons, played: Round) -> Notes:
    """The stock, and what each player took of it."""
    stock, left = played.info["stock"], played.info["left"]
    chosen = {turn.player: turn.action for turn in played.turns if turn.phase == "decision"}
    asks = played.info.get("played", [chosen[player] for player in sorted(chosen)])
    received = tuple(
        f"{number(units)} of {stock} tons" + (f", by chance for {asks[player]}" if asks[player] != chosen[player] else "")
        for player, units in enumerate(played.rewards)
    )
    return Notes(stock=f"{stock} tons, {number(left)} left", held=(), received=received)


def outcome(game: Commons, played: Round, player: int, seed: int) -> str:
    """What it took, and what all took of how much."""
    taken = played.rewards
    return f"you took {number(taken[player])}, all together {number(sum(taken))} of {played.info['stock']} tons"
