"""A ranking of players as the Axelrod library ranks a tournament.

    scores[i][j][k], points per round of i against j ── mean over the others ── median over repetitions ──> ranks, best first

Knight et al., An open framework for the reproducible study of the iterated prisoner's dilemma, JORS 2016. Playing oneself does
not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

Results = Sequence[Sequence[Sequence[float]]]  # [player][opponent][repetition]


@dataclass(frozen=True, slots=True)
class Rank:
    """A player in the ranking.

    ``score``: points per round, the mean over its opponents. ``wins``: how many of them it got more points than. Both of one
    repetition, the median. ``cooperation``: the mean share of its actions that cooperated (None: not given).
    """

    name: str
    score: float
    wins: float
    cooperation: float | None = None


def ranking(names: Sequence[str], scores: Results, cooperation: Results | None = None) -> list[Rank]:
    """The players by descending score; those with equal scores stay in the order given.

    scores[i][j][k] are the points per round of player i against j in repetition k, cooperation[i][j][k] the share of its actions
    that cooperated. Every player needs an opponent, and all pairs the same number of repetitions; [i][i] is ignored.
    """
    ranks = [
        Rank(
            name,
            score=median(fmean(met) for met in _repetitions(scores, i)),
            wins=median(
                sum(own > theirs for own, theirs in zip(met, back, strict=True))
                for met, back in zip(_repetitions(scores, i), _repetitions(scores, i, back=True), strict=True)
            ),
            cooperation=None if cooperation is None else fmean(share for met in _repetitions(cooperation, i) for share in met),
        )
        for i, name in enumerate(names)
    ]
    return sorted(ranks, key=lambda rank: -rank.score)


def _repetitions(results: Results, player: int, *, back: bool = False) -> list[tuple[float, ...]]:
    """For each repetition the player's results against every other player; ``back``: theirs against it."""
    others = [other for other in range(len(results)) if other != player]
    return list(zip(*(results[other][player] if back else results[player][other] for other in others), strict=True))
