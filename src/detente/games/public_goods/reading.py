"""How reports read public goods games: what all earn if all give, if nobody does and if one keeps its coins, and a verdict.

The anchors follow from the rules alone. Must not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from detente.games.public_goods.measures import ARCHETYPES
from detente.games.public_goods.points import Stakes
from detente.games.public_goods.rounds import FREE, INSTITUTIONS, SANCTIONING
from detente.games.public_goods.terms import Terms
from detente.games.reading import Anchor, Chapter, Column, Condition, Meet, Plot, Reading, Verdict

REFERENCES = ("giver", "free_rider", "conditional")
KEEPS, GIVES = 0.1, 0.8  # shares of the maximum contribution: at most that of a free rider, at least that of a giver
YIELDS, EXPLOITED = 0.2, 0.5  # shares of what free riders gain from somebody who always gives
MEANINGS = {SANCTIONING: "with sanctions", FREE: "without sanctions"}
PATHS = {
    "rising": "more and more",
    "falling": "less and less",
    "flat": "about the same in every round",
    "oscillating": "up and down",
}


@dataclass(frozen=True, slots=True)
class Anchors:
    """Points per round without tokens, in one institution: of all where all give and where nobody does; of one who keeps its coins
    where all others give, and of the others; of free riders who share a pot with one giver."""

    giving: float
    keeping: float
    rider: float
    ridden: float
    taking: float


def anchors(game: Terms) -> Anchors:
    """The anchors of a game."""
    everybody, top = game.players, game.steps[-1]
    alone = _points(game, [0, *[top] * (everybody - 1)])
    return Anchors(
        giving=_points(game, [top] * everybody)[0],
        keeping=_points(game, [0] * everybody)[0],
        rider=alone[0],
        ridden=alone[1],
        taking=_points(game, [top, *[0] * (everybody - 1)])[1],
    )


def _points(game: Terms, given: list[int]) -> list[float]:
    stakes: Stakes = game.stakes
    return [first + stakes.tokens for first in stakes.first([FREE] * game.players, given)]


def reading(game: Terms, meet: Meet) -> Reading:
    """Of a public goods game; nothing of it has to be played."""
    known, most = anchors(game), float(game.steps[-1])
    lines = (
        Anchor(f"one keeps its coins {known.rider:.3g}", known.rider),
        Anchor(f"all give {known.giving:.3g}", known.giving),
        Anchor(f"the others then {known.ridden:.3g}", known.ridden),
        Anchor(f"nobody gives {known.keeping:.3g}", known.keeping),
    )
    institutions = game.institutions
    return Reading(
        facts=("reward", "contribution", *(("sanctioned", "punish_share") if institutions else ())),
        contrast=("reward", "contribution", *(("sanctioned",) if institutions else ())),
        rivals=("free_rider",),
        contrast_rivals=("free_rider", "giver", "conditional"),
        given={f"contribution_in/{where}": where for where in INSTITUTIONS} if institutions else {},
        given_title="coins given in" if institutions else "",
        marked="conditional",
        anchors=lines,
        plots=_plots(game, lines, most),
        chapters=(_where(most), _paths()) if institutions else (_paths(),),
        note=(
            f"all give {known.giving:.2f}, nobody gives {known.keeping:.2f}, one who keeps its coins where all others give "
            f"{known.rider:.2f} while they get {known.ridden:.2f}"
        ),
        verdicts=verdicts(game, known),
    )


def _plots(game: Terms, lines: tuple[Anchor, ...], most: float) -> tuple[Plot, ...]:
    ends = (Anchor(f"everything {most:g}", most), Anchor("nothing", 0.0))
    plots = (
        Plot(("contribution",), "Coins given in self-play", (0, most), ends),
        Plot(("reward",), "Points per round in self-play", anchors=lines),
    )
    if not game.institutions:
        return plots
    return (
        *plots,
        Plot(("sanctioned",), "Rounds in the institution with sanctions", (0, 1)),
        Plot(("institution_size",), "Players in the institution with sanctions", (0, game.players)),
        Plot(("tokens_sent",), "Tokens sent per round in it", (0, game.tokens)),
        Plot(("punish_share",), "Share of the tokens that punish", (0, 1)),
    )


def _where(most: float) -> Chapter:
    columns = tuple(Column(f"contribution_in/{where}", where, MEANINGS[where]) for where in INSTITUTIONS)
    text = "Mean coins given in the institution with sanctions (SI) and in the one without (SFI). Dashed: conditional."
    return Chapter("institutions", "What it gives where", text, "Coins given at the end", columns, most, across=3)


def _paths() -> Chapter:
    columns = tuple(Column(f"archetype/{path}", path, PATHS[path]) for path in ARCHETYPES)
    text = "How its contributions change from the first round of an episode to the last. Dashed: conditional."
    return Chapter("paths", "How it gives within an episode", text, "Share of episodes at the end", columns, across=4)


def verdicts(game: Terms, known: Anchors) -> tuple[Verdict, ...]:
    """The words for a policy, in the order in which they are asked."""
    most, gives = game.steps[-1], "self_play/contribution"
    mixed = "none of the others"
    rides = Verdict("free rider", f"gives at most {KEEPS * most:.3g} in self-play", (Condition(gives, most=KEEPS * most),))
    between = Verdict("in between", mixed, (Condition(gives, below=GIVES * most),))
    return (rides, between, *_giving(game, known, f"gives at least {GIVES * most:.3g} in self-play"), Verdict("in between", mixed))


def _giving(game: Terms, known: Anchors, gives: str) -> tuple[Verdict, ...]:
    """The words for a policy that gives; where free riders can leave, nobody is robust or exploitable."""
    if game.institutions:
        return (Verdict("giver", f"{gives}; free riders go where nobody can punish and take nothing from it"),)
    gain, takes = known.taking - known.keeping, "against/free_rider/opponent_reward"
    yields, exploited = known.keeping + YIELDS * gain, known.keeping + EXPLOITED * gain
    return (
        Verdict(
            "giver, not exploited",
            f"{gives}, and free riders get at most {yields:.4g} from it",
            (Condition(takes, most=yields),),
        ),
        Verdict(
            "exploitable giver",
            f"{gives}, but free riders get at least {exploited:.4g} from it",
            (Condition(takes, least=exploited),),
        ),
    )
