"""The points of a round, from who was where, what they gave and the tokens that they sent: pure functions of numbers.

    first stage    endowment - own contribution + multiplier x the mean contribution of the institution
    second stage   tokens - tokens sent + reward x positive tokens received - punish x negative tokens received

Gürerk, Irlenbusch and Rockenbach, The competitive advantage of sanctioning institutions, Science 2006.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stakes:
    """What contributions and tokens are worth; ``tokens`` 0: there is no second stage."""

    endowment: int
    multiplier: float
    tokens: int
    punish: float
    reward: float

    def first(self, institutions: Sequence[str], contributions: Sequence[int]) -> list[float]:
        """Points of the first stage by player."""
        returns = {}
        for institution in {*institutions}:
            pot = [given for given, where in zip(contributions, institutions, strict=True) if where == institution]
            returns[institution] = self.multiplier * sum(pot) / len(pot)
        return [self.endowment - given + returns[where] for given, where in zip(contributions, institutions, strict=True)]

    def second(self, sent: Sequence[Sequence[int]]) -> list[float]:
        """Points of the second stage by player; ``sent[p][q]`` tokens went from player p to q."""
        received = list(zip(*sent, strict=True))
        return [
            self.tokens - sum(map(abs, own)) + self.reward * rewarded(to) - self.punish * punished(to)
            for own, to in zip(sent, received, strict=True)
        ]

    def bounds(self, sizes: Iterable[int], lowest: int, highest: int) -> tuple[float, float]:
        """The minimum and the maximum of both stages, in institutions of these sizes, where contributions lie between the two."""
        totals = []
        for size in sizes:
            given = [(own, others) for own in (lowest, highest) for others in (lowest, highest)]
            first = [self.endowment - own + self.multiplier * (own + (size - 1) * others) / size for own, others in given]
            most = (size - 1) * self.tokens  # that all others can send
            spent = self.tokens if size > 1 else 0
            totals += [min(first) + (self.tokens - spent - self.punish * most), max(first) + (self.tokens + self.reward * most)]
        return min(totals), max(totals)


def rewarded(received: Sequence[int]) -> int:
    """How many positive tokens there are."""
    return sum(tokens for tokens in received if tokens > 0)


def punished(received: Sequence[int]) -> int:
    """How many negative tokens there are."""
    return -sum(tokens for tokens in received if tokens < 0)
