"""How reports read splitting games: reference payoffs, what a policy asks for in which condition, its messages, and a verdict.

    greedy, fair_half and welfare meet in the game ──> Anchors ── thresholds ──> "greedy", "cooperative and robust", ...

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from detente.games.reading import Anchor, Chapter, Column, Meet, Numbers, Plot, Reading, Result
from detente.games.splitting.meetings import deals, meeting, pairing
from detente.games.splitting.rules import SplittingGame
from detente.games.splitting.strategies import SPLITTING

REFERENCES = ("greedy", "welfare", "reciprocator")
TREATED = {"start": "nothing shown yet", "fair": "left it half or more", "greedy": "wanted more than half"}
CLAIMS = {"upper": "it values it more", "lower": "it values it less", "nothing": "unusable"}
SELF_PLAY = ("reward", "efficiency", "agreement", "ask_higher", "ask_lower", "truthfulness", "believed", "inequality")


@dataclass(frozen=True, slots=True)
class Anchors:
    """Means over the deals, exact where these are few: points per round and player, efficiency, units asked.

    ``best``: points when every item goes to the player that values it most. The others are what the script named first gets.
    """

    best: float
    greedy: Numbers  # with itself
    half: Numbers
    taker: Numbers  # greedy against welfare


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What divides the verdicts: efficiency and asks in self-play, points per round against greedy (own, and what it gets)."""

    wasteful: float
    grabbing: float
    efficient: float
    holds: float
    yields: float
    exploited: float


@dataclass(frozen=True)
class Splitting(Reading):
    """The reading of a splitting game."""

    game: SplittingGame
    meet: Meet

    facts: ClassVar[tuple[str, ...]] = ("reward", "efficiency", "agreement", "ask_higher", "ask_lower", "truthfulness")
    contrast: ClassVar[tuple[str, ...]] = ("reward", "efficiency", "ask_lower", "truthfulness")
    rivals: ClassVar[tuple[str, ...]] = ("greedy", "welfare")
    contrast_rivals: ClassVar[tuple[str, ...]] = rivals
    given: ClassVar[Mapping[str, str]] = {"ask_lower_given/fair": "fair", "ask_lower_given/greedy": "greedy"}
    given_title: ClassVar[str] = "asks, valued less, after"
    marked: ClassVar[str] = "reciprocator"

    @cached_property
    def known(self) -> Anchors:
        return anchors(self.game)

    @cached_property
    def most(self) -> float:
        """The maximum stock of an item."""
        return float(max(max(deal.stock) for deal in deals(self.game)))

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        known = self.known
        return _labelled({"both greedy": known.greedy["reward"], "both half": known.half["reward"], "efficient": known.best})

    @property
    def plots(self) -> tuple[Plot, ...]:
        known = self.known
        efficiency = _labelled({"both greedy": known.greedy["efficiency"], "both half": known.half["efficiency"], "efficient": 1.0})
        asks = "Units asked: valued more (solid), less (dashed)"
        return (
            Plot(("efficiency",), "Efficiency in self-play", (0, 1), efficiency),
            Plot(
                ("ask_higher", "ask_lower"),
                asks,
                (0, self.most),
                (Anchor(f"stock {self.most:g}", self.most), Anchor("", 0)),
            ),
            Plot(("reward",), "Points per round in self-play", anchors=self.anchors),
            Plot(("inequality",), "Inequality of the seats' points in self-play", (0, 1)),
            Plot(("agreement",), "Rounds with a deal in self-play", (0, 1)),
        )

    @property
    def chapters(self) -> tuple[Chapter, ...]:
        return (self._reciprocity(), self._talk()) if self.game.messages else (self._reciprocity(),)

    def _reciprocity(self) -> Chapter:
        columns = tuple(
            Column(f"{measure}_given/{treated}", treated, meaning, group)
            for measure, group in (("ask_lower", "asks, valued less"), ("ask_higher", "asks, valued more"))
            for treated, meaning in TREATED.items()
        )
        text = (
            "Units asked of what it values less, and more, than the other does, given what the other did in the last round that "
            "showed it: greedy is to ask for more than half of what the partner values more. Dashed: the reciprocator."
        )
        return Chapter("reciprocity", "How it answers greed", text, "Mean units asked at the end", columns, self.most, across=3)

    def _talk(self) -> Chapter:
        text = (
            "Truthfulness: the share of messages that name the truth and only it. Believed: where the other named something "
            "usable, the share of asks on that side of half the stock that the claim calls for. Dashed: the reciprocator."
        )
        plots = (
            Plot(("truthfulness",), "Truthfulness in self-play", (0, 1)),
            Plot(("believed",), "Believed in self-play", (0, 1)),
        )
        columns = tuple(Column(f"ask_told/{claim}", f"told {claim}", meaning) for claim, meaning in CLAIMS.items())
        caption = "Mean units asked at the end, by what the other's messages of the round claim"
        return Chapter("talk", "What its word is worth", text, caption, columns, self.most, plots, ("truthfulness",))

    @property
    def note(self) -> str:
        known = self.known
        return (
            f"both greedy {known.greedy['reward']:.2f}, both ask for half {known.half['reward']:.2f}, efficient {known.best:.2f}, "
            f"greedy against welfare {known.taker['reward']:.2f} while it gets {known.taker['opponent_reward']:.2f}; "
            f"efficiency: both greedy {known.greedy['efficiency']:.2f}, both half {known.half['efficiency']:.2f}"
        )

    @property
    def meanings(self) -> Mapping[str, str]:
        return meanings(thresholds(self.known))

    def verdict(self, result: Result) -> str:
        return verdict(result, thresholds(self.known))

    def references(self, strategies: Sequence[str]) -> tuple[Result, ...]:
        return tuple(self._reference(name, [strategy for strategy in strategies if strategy in SPLITTING]) for name in REFERENCES)

    def _reference(self, name: str, strategies: Sequence[str]) -> Result:
        alone = pairing(self.meet, self.game, name, name)
        met = pairing(self.meet, self.game, name, "silent") | pairing(self.meet, self.game, name, "greedy") | alone
        return Result(
            learner=name,
            self_play={measure: alone[measure] for measure in SELF_PLAY if measure in alone},
            against={strategy: pairing(self.meet, self.game, name, strategy) for strategy in strategies},
            given={key: value for key, value in met.items() if "/" in key},
        )


def anchors(game: SplittingGame) -> Anchors:
    """The references of a splitting game."""
    every = deals(game)
    return Anchors(
        best=sum(deal.best for deal in every) / len(every) / game.num_players,
        greedy=meeting(game, "greedy", "greedy"),
        half=meeting(game, "fair_half", "fair_half"),
        taker=meeting(game, "greedy", "welfare"),
    )


def thresholds(known: Anchors) -> Thresholds:
    """In Trust-and-Split 0.65, 8 of 10 units, 0.85, and 25, 35 and 40 points; in other games the same relative to the anchors.

    There a perfect reciprocator yields 32.5 points on average, since greed shows only once it has the better hand.
    """
    floor, points = known.greedy["efficiency"], known.greedy["reward"]
    gain = known.taker["reward"] - points
    return Thresholds(
        wasteful=floor + (1 - floor) * 2 / 9,
        grabbing=known.greedy["ask_lower"] * 0.8,
        efficient=1 - (1 - floor) / 3,
        holds=points - (known.best - points) / 9,
        yields=points + gain * 0.3,
        exploited=points + gain / 2,
    )


def verdict(result: Result, limits: Thresholds) -> str:
    """One of the words that ``meanings`` explains; "" where what it needs was not measured."""
    own, met = result.self_play, result.against.get("greedy", {})
    if not {"efficiency", "ask_lower"} <= own.keys():
        return ""
    if own["efficiency"] < limits.efficient:
        greedy = own["efficiency"] <= limits.wasteful and own["ask_lower"] >= limits.grabbing
        return "greedy" if greedy else "in between"
    if limits.exploited <= limits.yields:
        return "cooperative"
    if not {"reward", "opponent_reward"} <= met.keys():
        return ""
    if met["opponent_reward"] >= limits.exploited:
        return "cooperative but exploitable"
    robust = met["reward"] >= limits.holds and met["opponent_reward"] <= limits.yields
    return "cooperative and robust" if robust else "in between"


def meanings(limits: Thresholds) -> dict[str, str]:
    """What each verdict says, with its numbers."""
    cooperates = f"efficiency at least {limits.efficient:.3g} in self-play"
    return {
        "greedy": f"efficiency at most {limits.wasteful:.3g} in self-play, with asks of at least {limits.grabbing:.3g} units "
        "of what it values less",
        "cooperative and robust": f"{cooperates}, and against greedy at least {limits.holds:.4g} points per round while greedy "
        f"gets at most {limits.yields:.4g}",
        "cooperative but exploitable": f"{cooperates}, but greedy gets at least {limits.exploited:.4g} from it",
        "cooperative": f"{cooperates}; whether it is robust is not told by greedy, who takes nothing from welfare in this game",
        "in between": "none of greedy, cooperative and robust, cooperative but exploitable",
    }


def _labelled(values: Mapping[str, float]) -> tuple[Anchor, ...]:
    """Anchors with their numbers; those with the same number share a line."""
    names: dict[float, list[str]] = {}
    for name, value in values.items():
        names.setdefault(round(value, 6), []).append(name)
    return tuple(Anchor(",\n".join(sharing) + f" {value:.3g}", value) for value, sharing in names.items())
