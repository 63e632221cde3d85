"""How a report reads the games of a family, as values: what is drawn and said, never how. Reports draw it.

    game ── Family.reading ──> Reading ──> anchors, what is drawn together, what a policy does given what, references, verdicts
    round ── Family.notes ──> Notes ──> what a reader may know of a round that its players did not

A reading knows measures by their names and no run. Must not import anything above games.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from detente.records import Episode, Turn

Numbers = Mapping[str, float]
Meet = Callable[[Any, Sequence[str], int], list[Episode]]  # plays a game: scripts seat by seat, so many episodes


@dataclass(frozen=True, slots=True)
class Result:
    """What a learner or a script does: the final evaluation, or of an unfinished run the last numbers known (``final`` is False).

    Rewards are points per round. ``against`` maps a strategy to ``reward``, ``opponent_reward`` and what else was measured;
    ``given`` maps TABLE/CONDITION to what it does in that condition, where it was met: ``cooperate_given/CD`` (a probability, one's
    own last move first), ``ask_lower_given/greedy`` (units). ``interval``: 95 % of the reward in self-play. ``partners``: the
    points there of who else has a seat, by name; empty where that is the learner alone.
    """

    learner: str
    self_play: Numbers
    against: Mapping[str, Numbers]
    given: Numbers
    algorithm: str = ""
    final: bool = True
    invalid: float | None = None
    interval: tuple[float, float] | None = None
    partners: Numbers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a reader is told of a round: the stock, and by player what it held and received.

    ``honest`` says of a message whether it is true: None where it claims nothing.
    """

    stock: str
    held: tuple[str, ...]
    received: tuple[str, ...]
    honest: Callable[[Turn], bool | None]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reference value: a horizontal line with its name at the right."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Plot:
    """Measures of self-play on one pair of axes, the second one dashed; without ``limits`` the values decide."""

    measures: tuple[str, ...]
    title: str
    limits: tuple[float, float] | None = None
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """What a policy does in one condition: ``key`` is TABLE/CONDITION, as in ``Result.given``; ``group`` heads several."""

    key: str
    head: str
    meaning: str
    group: str = ""

    @property
    def title(self) -> str:
        return f"{self.group}: {self.head}" if self.group else f"{self.head}: {self.meaning}"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A section on what a policy does given what happened before: values in [0, most], over time and at the end.

    Of the measures of self-play in ``told`` the text says how they went from the first to the last iteration. ``across``: how many
    plots stand in a row.
    """

    name: str
    title: str
    text: str
    caption: str
    columns: tuple[Column, ...]
    most: float = 1.0
    plots: tuple[Plot, ...] = ()
    told: tuple[str, ...] = ()
    across: int = 5

    @property
    def groups(self) -> Mapping[str, int]:
        """How many columns stand under each heading; empty where they have none."""
        return Counter(column.group for column in self.columns if column.group)


class Reading:
    """Of a game of which nothing is known but what was measured.

    ``facts`` are the measures of self-play on a card (all where none is named), ``contrast`` those in the terminal's table;
    ``rivals`` and ``contrast_rivals`` are the scripts that a card and that table show the learner against. Both show ``given``,
    columns of the chapters by key with their heads, under ``given_title``. ``marked`` names the reference that the plots mark.
    """

    facts: ClassVar[tuple[str, ...]] = ()
    contrast: ClassVar[tuple[str, ...]] = ("reward",)
    rivals: ClassVar[tuple[str, ...]] = ()
    contrast_rivals: ClassVar[tuple[str, ...]] = ()
    given: ClassVar[Mapping[str, str]] = {}
    given_title: ClassVar[str] = ""
    marked: ClassVar[str] = ""

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """Reference values of points per round."""
        return ()

    @property
    def plots(self) -> tuple[Plot, ...]:
        """What training shows first; measures that no plot of the family shows follow, each by itself."""
        return ()

    @property
    def chapters(self) -> tuple[Chapter, ...]:
        """What a policy does given what happened before."""
        return ()

    @property
    def note(self) -> str:
        """The anchors in a sentence."""
        return ""

    @property
    def meanings(self) -> Mapping[str, str]:
        """What each verdict says, with its numbers."""
        return {}

    def verdict(self, result: Result) -> str:
        """One of the words that ``meanings`` explains; "" where what it needs was not measured."""
        return ""

    def references(self, strategies: Sequence[str]) -> tuple[Result, ...]:
        """Scripted policies, measured like learners: with themselves and against those of the strategies that play this game."""
        return ()
