"""How reports read matrix games with a cooperative action: reference payoffs, what a policy does after which move, and a verdict.

    scripted strategies meet in the game ──> Anchors ── thresholds ──> "reciprocator", "mutual defection", ...

References are played, not remembered, so they hold for any payoff table and horizon. Must not import torch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from detente.games.matrix.rules import MatrixGame
from detente.games.matrix.strategies import MATRIX
from detente.games.reading import Anchor, Chapter, Column, Condition, Meet, Numbers, Plot, Reading, Result, Verdict

MATCHES = 100  # per pairing, each with its own seed: exact where nothing is random
KEEPS, ANSWERS = 0.95, 0.2  # a reciprocator's minimum P(C|CC) and maximum P(C|CD)
FACTS = ("reward", "cooperation_rate")
REFERENCES = ("tit_for_tat", "always_cooperate", "always_defect")
CONDITIONS = {
    "start": "first round",
    "CC": "both cooperated",
    "CD": "I cooperated, they defected",
    "DC": "I defected, they cooperated",
    "DD": "both defected",
}


@dataclass(frozen=True, slots=True)
class Anchors:
    """Points per round when both cooperate, both defect, one cooperates among defectors; and tit-for-tat among defectors."""

    cooperation: float
    defection: float
    exploited: float
    reciprocity: Numbers


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Points per round that divide the verdicts: in self-play (defection, cooperation) and among defectors (the others)."""

    defection: float
    cooperation: float
    holds: float
    yields: float
    exploited: float


def reading(game: MatrixGame, meet: Meet) -> Reading:
    """Of a game in which one of several actions is cooperation; little of others. Where seats differ without verdicts, which would
    be others for each of them, and with those reference payoffs alone that are the same for both."""
    if not _is_dilemma(game):
        return Reading()
    text = "The model's own probability of cooperating after each joint move, one's own move first."
    columns = tuple(Column(f"cooperate_given/{move}", move, meaning) for move, meaning in CONDITIONS.items())
    chapter = Chapter("behaviour", "What it does after each move", text, "P(C | last joint move) at the end", columns)
    rewards = Plot(("reward",), "Points per round in self-play")
    rates = Plot(("cooperation_rate",), "Cooperation rate in self-play", (0, 1))
    plain = Reading(
        facts=FACTS,
        rivals=("always_defect",),
        contrast_rivals=("always_defect", "always_cooperate", "tit_for_tat"),
        given={"cooperate_given/CC": "CC", "cooperate_given/CD": "CD"},
        given_title="P(C | …)",
        plots=(rewards, rates),
        chapters=(chapter,),
    )
    if not game.symmetric:
        shared = _shared(game)
        return replace(plain, anchors=shared, plots=(replace(rewards, anchors=shared), rates))
    known = anchors(meet, game)
    own, theirs = known.reciprocity["reward"], known.reciprocity["opponent_reward"]
    lines = (
        Anchor(f"mutual\ncooperation {known.cooperation:g}", known.cooperation),
        Anchor(f"mutual\ndefection {known.defection:g}", known.defection),
        Anchor(f"tit-for-tat vs\nalways_defect {own:.3g}", own),
    )
    return replace(
        plain,
        marked="tit_for_tat",
        anchors=lines,
        plots=(replace(rewards, anchors=lines), rates),
        chapters=(replace(chapter, text=f"{text} Dashed: tit-for-tat."),),
        note=(
            f"mutual cooperation {known.cooperation:.2f}, mutual defection {known.defection:.2f}, "
            f"tit-for-tat against always defect {own:.2f} while it gets {theirs:.2f}"
        ),
        verdicts=verdicts(thresholds(known)),
    )


def _shared(game: MatrixGame) -> tuple[Anchor, ...]:
    """What both cooperating and both defecting pay, where it is the same for both seats."""
    ends = {"cooperation": game.payoffs[0][0], "defection": game.payoffs[-1][-1]}
    return tuple(Anchor(f"mutual\n{name} {own:g}", own) for name, (own, theirs) in ends.items() if own == theirs)


def references(game: MatrixGame, meet: Meet, strategies: Sequence[str]) -> tuple[Result, ...]:
    """Scripts of a dilemma whose seats do not differ, measured like learners."""
    if not (_is_dilemma(game) and game.symmetric):
        return ()
    return tuple(
        Result(
            learner=name,
            self_play={key: pairing(meet, game, name, name)[key] for key in FACTS},
            against={strategy: pairing(meet, game, name, strategy) for strategy in strategies if strategy in MATRIX},
            given={f"cooperate_given/{move}": p for move, p in responses(game, name).items()},
        )
        for name in REFERENCES
    )


def _is_dilemma(game: MatrixGame) -> bool:
    return game.cooperative is not None and len(game.actions) > 1


def anchors(meet: Meet, game: MatrixGame) -> Anchors:
    """The references of a dilemma."""
    return Anchors(
        cooperation=pairing(meet, game, "always_cooperate", "always_cooperate")["reward"],
        defection=pairing(meet, game, "always_defect", "always_defect")["reward"],
        exploited=pairing(meet, game, "always_cooperate", "always_defect")["reward"],
        reciprocity=pairing(meet, game, "tit_for_tat", "always_defect"),
    )


@lru_cache(maxsize=256)
def pairing(meet: Meet, game: MatrixGame, row: str, column: str) -> Numbers:
    """Two strategies meet: the ``reward`` of the first, its ``cooperation_rate``, and the ``opponent_reward``."""
    episodes = meet(game, (row, column), MATCHES)
    own, theirs = (sum(episode.mean_reward(player) for episode in episodes) / MATCHES for player in (0, 1))
    moves = [turn.action == game.cooperative for episode in episodes for turn in episode.turns(0)]
    return {"reward": own, "opponent_reward": theirs, "cooperation_rate": sum(moves) / len(moves)}


def responses(game: MatrixGame, strategy: str) -> dict[str, float]:
    """What a deterministic strategy does in each condition: 1.0 cooperates, 0.0 defects."""
    names = {"CD"[action != game.cooperative]: action for action in game.actions}
    cooperates = {}
    for condition in CONDITIONS:
        history = () if condition == "start" else ((names[condition[0]], names[condition[1]]),)
        view = game.observe(replace(game.reset(random.Random(0)), history=history), 0).view
        cooperates[condition] = float(MATRIX[strategy](view, random.Random(0))[0])
    return cooperates


def thresholds(known: Anchors) -> Thresholds:
    """In the prisoner's dilemma 1.2, 2.8, 0.85, 1.5 and 0.5 points; in other games the same relative to the span of the anchors."""
    span = known.cooperation - known.defection
    return Thresholds(
        defection=known.defection + span / 10,
        cooperation=known.cooperation - span / 10,
        holds=known.reciprocity["reward"] - span / 40,
        yields=known.reciprocity["opponent_reward"] + span / 20,
        exploited=(known.exploited + known.defection) / 2,
    )


def verdicts(limits: Thresholds) -> tuple[Verdict, ...]:
    """The words for a policy, in the order in which they are asked."""
    cooperates = f"at least {limits.cooperation:.4g} points per round in self-play"
    mixed = "none of mutual defection, reciprocator and exploitable cooperator"
    return (
        Verdict(
            "mutual defection",
            f"at most {limits.defection:.4g} points per round in self-play",
            (Condition("self_play/reward", most=limits.defection),),
        ),
        Verdict("mixed", mixed, (Condition("self_play/reward", below=limits.cooperation),)),
        Verdict(
            "reciprocator",
            f"{cooperates}, P(C|CC) at least {KEEPS}, P(C|CD) at most {ANSWERS}, "
            f"and against always_defect at least {limits.holds:.4g} while it gets at most {limits.yields:.4g}",
            (
                Condition("against/always_defect/reward", least=limits.holds),
                Condition("against/always_defect/opponent_reward", most=limits.yields),
                Condition("given/cooperate_given/CC", least=KEEPS),
                Condition("given/cooperate_given/CD", most=ANSWERS),
            ),
        ),
        Verdict(
            "exploitable cooperator",
            f"{cooperates}, but at most {limits.exploited:.4g} against always_defect",
            (Condition("against/always_defect/reward", most=limits.exploited),),
        ),
        Verdict("mixed", mixed),
    )
