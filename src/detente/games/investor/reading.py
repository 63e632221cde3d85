"""How reports read the investor game: what is invested and returned, and what came of it for both."""

from __future__ import annotations

from detente.games.investor.rules import Investor
from detente.games.reading import Anchor, Chapter, Column, Meet, Notes, Plot, Reading
from detente.records import Round

CONDITIONS = {"start": "nothing invested before", "paid": "the last investment came back", "lost": "less came back"}


def reading(game: Investor, meet: Meet) -> Reading:
    """Of the investor game; nothing of it has to be played. Seats differ, so there are no verdicts."""
    nothing, everything = float(game.endowment), float(game.multiplier * game.endowment)
    halves = Anchor(f"all invested, half returned {everything / 2:g}", everything / 2)
    text = "The mean share of the endowment that it invests as investor, by what came of its last investment."
    columns = tuple(Column(f"invested_given/{treated}", treated, meaning) for treated, meaning in CONDITIONS.items())
    return Reading(
        facts=("reward", "invested", "returned", "efficiency"),
        contrast=("reward", "invested", "returned"),
        rivals=("selfish",),
        contrast_rivals=("selfish", "fair"),
        given={"invested_given/paid": "paid", "invested_given/lost": "lost"},
        given_title="invests after",
        anchors=(halves,),
        plots=(
            Plot(
                ("efficiency",),
                "Joint points / the most in self-play",
                (0, 1),
                (Anchor("all invested", 1.0), Anchor("nothing", nothing / everything)),
            ),
            Plot(
                ("invested", "returned"),
                "Share invested (solid), returned (dashed)",
                (0, 1),
                (Anchor("half", 0.5), Anchor("as much as invested", 1 / game.multiplier)),
            ),
            Plot(("reward",), "Points per round in self-play", anchors=(halves,)),
        ),
        chapters=(Chapter("trust", "How it answers what came back", text, "Mean share invested at the end", columns, across=3),),
        note=(
            f"nothing invested {nothing:g} and 0 points per round, everything invested and half returned {everything / 2:g} each, "
            f"nothing returned 0 and {everything:g}"
        ),
    )


def notes(game: Investor, played: Round) -> Notes:
    """What both got."""
    points = tuple(f"{reward:g} points" for reward in played.rewards)
    return Notes(stock=f"{played.info['invested']} of {game.endowment} invested", held=(), received=points)


def outcome(game: Investor, played: Round, player: int, seed: int) -> str:
    """What was invested and returned."""
    who, whom = ("you", "they") if player == 0 else ("they", "you")
    return f"{who} invested {played.info['invested']}, {whom} returned {played.info['returned']}"
