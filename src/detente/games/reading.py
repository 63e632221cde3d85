"""How a report reads the games of a family, as values: what is drawn and said, never how. Reports draw it.

    game ── Family.reading ──> Reading ──> anchors, what is drawn together, what a policy does given what, references, verdicts
    round ── Family.notes ──> Notes ──> what a reader may know of a round that its players did not

A reading knows measures by their names and no run. Must not import anything above games.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detente.records import Episode, Turn

Numbers = Mapping[str, float]
PARTS = ("outcome", "training", "trials", "against", "opponents", "transcripts", "diagnostics", "options")  # of every report
Meet = Callable[[Any, Sequence[str], int], list[Episode]]  # plays a game: scripts seat by seat, so many episodes


@dataclass(frozen=True, slots=True)
class Result:
    """What a learner or a script does: the final evaluation, or of an unfinished run the last numbers known (``final`` is False).

    Rewards are points per round. ``against`` maps a strategy to ``reward``, ``opponent_reward`` and what else was measured;
    ``given`` maps TABLE/CONDITION to what it does in that condition, where it was met: ``cooperate_given/CD`` (a probability, one's
    own last move first), ``ask_lower_given/greedy`` (units). ``interval``: 95 % of the reward in self-play; ``intervals``: those
    of the rewards against each strategy, where they are known. ``partners``: the points there of who else has a seat, by name;
    empty where that is the learner alone. ``shared``: another learner or a frozen policy has a seat there, so that it says nothing
    of the learner with itself.
    """

    learner: str
    self_play: Numbers
    against: Mapping[str, Numbers]
    given: Numbers
    algorithm: str = ""
    final: bool = True
    invalid: float | None = None
    interval: tuple[float, float] | None = None
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    partners: Numbers = field(default_factory=dict)
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Notes:
    """What a reader is told of a round: the stock, and by player what it held and received.

    ``held`` and ``received`` are empty where there is nothing to say of them. ``honest`` says of a message whether it is true,
    None where it claims nothing; without it messages claim nothing that could be true.
    """

    stock: str
    held: tuple[str, ...]
    received: tuple[str, ...]
    honest: Callable[[Turn], bool | None] | None = None


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

    ``name`` is none of ``PARTS``: letters, digits and underscores, which address the section and its picture.
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


@dataclass(frozen=True, slots=True)
class Condition:
    """That a number of a result is at ``least`` this, at ``most`` that, ``below`` something; without limits, that it is known.

    ``number`` is self_play/MEASURE (not measured where seats are ``shared``), against/STRATEGY/MEASURE (``opponent_reward`` too),
    or given/TABLE/CONDITION.
    """

    number: str
    least: float | None = None
    most: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value keeps the limits."""
        over = self.least is None or value >= self.least
        return over and (self.most is None or value <= self.most) and (self.below is None or value < self.below)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word for a policy of which all conditions hold; ``meaning`` says them with their numbers."""

    word: str
    meaning: str = ""
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a game is read; without anything said, only what was measured is known.

    ``facts`` are the measures of self-play on a card (all where none is named), ``contrast`` those in the terminal's table;
    ``rivals`` and ``contrast_rivals`` are the scripts that a card and that table show the learner against. Both show ``given``,
    columns of the chapters by key with their heads, under ``given_title``. ``marked`` names the reference that the plots mark.
    ``anchors`` are reference values of points per round, and ``note`` says them in a sentence. ``plots`` are what training shows
    first; measures that none of them shows follow, each by itself. ``chapters`` say what a policy does given what happened before.
    ``verdicts`` are asked in order.
    """

    facts: tuple[str, ...] = ()
    contrast: tuple[str, ...] = ("reward",)
    rivals: tuple[str, ...] = ()
    contrast_rivals: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    given_title: str = ""
    marked: str = ""
    anchors: tuple[Anchor, ...] = ()
    plots: tuple[Plot, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    note: str = ""
    verdicts: tuple[Verdict, ...] = ()

    @property
    def meanings(self) -> Mapping[str, str]:
        """What each word says."""
        return {verdict.word: verdict.meaning for verdict in self.verdicts}

    def verdict(self, result: Result) -> str:
        """The word for a result; see ``verdict``."""
        return verdict(result, self.verdicts)


def verdict(result: Result, verdicts: Sequence[Verdict]) -> str:
    """The first word whose conditions all hold; "" where none does, or a number that is asked for on the way was not measured."""
    for candidate in verdicts:
        numbers = [number(result, condition.number) for condition in candidate.conditions]
        if None in numbers:
            return ""
        if all(condition.holds(value) for condition, value in zip(candidate.conditions, numbers, strict=True) if value is not None):
            return candidate.word
    return ""


def number(result: Result, name: str) -> float | None:
    """A number of a result by the name that a condition has for it; None where it was not measured."""
    part, _, key = name.partition("/")
    if part == "against":
        strategy, _, measure = key.rpartition("/")
        return result.against.get(strategy, {}).get(measure)
    alone: Numbers = {} if result.shared else result.self_play
    return {"self_play": alone, "given": result.given}.get(part, {}).get(key)
