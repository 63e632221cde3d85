"""Curricula over co-players and settings of the game: what was played and how much was left to gain, and what to play next.

    regret of a group ── scored ──> buffers ── weights, ranked ──> the co-player and the setting of the next groups

A setting is the parameters that vary, a co-player whoever takes the other seats of the learner. Pure functions of values; what they
are used with, ``planning.py`` says. The rules are those of prioritised level replay (Jiang, Grefenstette, Rocktäschel, ICML 2021),
prioritised fictitious self-play (Vinyals et al., Nature 2019) and MAESTRO (Samvelyan et al., ICLR 2023).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from detente.records import PolicyRef

PRESENT = "present"  # the co-player where the learner's present versions stay on the other seats
EVERYBODY = "everybody"  # the name of the one buffer that all co-players share
TEMPERATURE = 0.3  # of replay: a setting of rank r is drawn with a weight of r^(-1 / TEMPERATURE)
NEWEST = 0.5  # weight of the newest group in the share of lost episodes

Setting = Mapping[str, Any]  # parameters of a game and their values, as JSON has them


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a group of episodes plays. ``co_player`` None: present versions. A ``fresh`` setting is scored and not trained on."""

    setting: Setting
    co_player: PolicyRef | None = None
    fresh: bool = False

    @property
    def name(self) -> str:
        """The co-player's."""
        return PRESENT if self.co_player is None else str(self.co_player)


@dataclass(frozen=True, slots=True)
class Scored:
    """A setting, and the regret of the group that last played it, in points per round."""

    setting: Setting
    regret: float


@dataclass(frozen=True)
class Curriculum:
    """What a curriculum remembers, by co-player: settings, the greatest regret first, and the share of episodes that it won."""

    buffers: Mapping[str, tuple[Scored, ...]] = field(default_factory=dict)
    lost: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Curriculum:
        """The inverse of ``to_json``."""
        buffers = {name: tuple(Scored(**entry) for entry in entries) for name, entries in content["buffers"].items()}
        return Curriculum(buffers, dict(content["lost"]))


def chosen_from_json(content: Mapping[str, Any]) -> Chosen:
    """The inverse of ``dataclasses.asdict``."""
    return Chosen(content["setting"], content["co_player"] and PolicyRef(**content["co_player"]), content["fresh"])


def scored(buffer: Sequence[Scored], entry: Scored, most: int) -> tuple[Scored, ...]:
    """The buffer with this entry, in place of one of the same setting: at most so many, the greatest regret first."""
    others = [other for other in buffer if other.setting != entry.setting]
    return tuple(sorted([*others, entry], key=lambda known: -known.regret)[:most])


def averaged_loss(before: float | None, lost: float) -> float:
    """A co-player's share of episodes won, after another group; the newest group counts half."""
    return lost if before is None else before + NEWEST * (lost - before)


def regret_weights(buffers: Mapping[str, Sequence[Scored]], co_players: Sequence[str], spread: float) -> list[float]:
    """How likely each co-player is drawn: the one with the greatest regret in its buffer (N - spread (N - 1)) / N, each of the
    others spread / N. Equals share; without any entry in its buffer a co-player goes before all others, as it was never met."""
    greatest = [max((entry.regret for entry in buffers.get(name, ())), default=float("inf")) for name in co_players]
    return _spread([float(regret == max(greatest)) for regret in greatest], spread)


def loss_weights(lost: Mapping[str, float], co_players: Sequence[str], spread: float) -> list[float]:
    """How likely each co-player is drawn: in proportion to the share of episodes that it wins, and a share of ``spread`` evenly.
    One that was never met counts as if it always won."""
    return _spread([lost.get(name, 1.0) for name in co_players], spread)


def replay_weights(count: int) -> list[float]:
    """How likely the settings of a buffer are drawn, by rank."""
    return _spread([rank ** (-1 / TEMPERATURE) for rank in range(1, count + 1)], 0.0)


def drawn(weights: Sequence[float], rng: random.Random) -> int:
    """An index, as likely as its weight."""
    return rng.choices(range(len(weights)), weights)[0]


def _spread(weights: Sequence[float], spread: float) -> list[float]:
    """Weights in proportion that sum to 1, of which a share is even."""
    count, total = len(weights), sum(weights)
    return [spread / count + (1 - spread) * (weight / total if total else 1 / count) for weight in weights]
