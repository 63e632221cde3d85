from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest

from detente.games.reading import Result, verdict
from detente.games.splitting.deal_or_no_deal import deal_or_no_deal
from detente.games.splitting.deals import Deal
from detente.games.splitting.item_split import split_no_comm
from detente.games.splitting.meetings import DRAWN, deals, few, meeting, pairing, played
from detente.games.splitting.reading import anchors, reading, references, thresholds, verdicts
from detente.games.splitting.trust_and_split import TrustAndSplit, trust_and_split
from detente.matches import play_scripts

ROBUST = Result(
    learner="main",
    self_play={"reward": 45.0, "efficiency": 0.9, "ask_lower": 1.0},
    against={"greedy": {"reward": 27.0, "opponent_reward": 31.0}},
    given={},
)


@pytest.mark.parametrize(
    ("game", "row", "column", "payoffs", "efficiency"),
    [
        (trust_and_split(), "greedy", "greedy", (27.5, 27.5), 0.55),
        (trust_and_split(), "welfare", "welfare", (50, 50), 1),
        (trust_and_split(), "greedy", "welfare", (52.5, 25), 0.775),
        (trust_and_split(), "fair_half", "fair_half", (27.5, 27.5), 0.55),
        (trust_and_split(), "greedy", "fair_half", (110 / 3, 55 / 3), 0.55),
        (split_no_comm(), "greedy", "greedy", (82.5, 82.5), 0.5 * (120 / 210 + 210 / 300)),
        (split_no_comm(), "welfare", "welfare", (127.5, 127.5), 1),
        (split_no_comm(), "greedy", "welfare", (425 / 3, 205 / 3), None),
    ],
)
def test_pairings_are_those_of_the_specification(
    game: Any, row: str, column: str, payoffs: tuple[float, float], efficiency: float | None
) -> None:
    """As docs/games.md has them. In split_no_comm the items are worth 120 or 210 to each player, and 210 or 300 at most to both."""
    found = meeting(game, row, column)
    assert (found["reward"], found["opponent_reward"]) == pytest.approx(payoffs)
    assert efficiency is None or found["efficiency"] == pytest.approx(efficiency)


def test_every_deal_is_listed() -> None:
    hands = deals(trust_and_split())
    assert len(set(hands)) == len(hands) == 3 * 2
    assert len(deals(split_no_comm())) == 12
    assert len(deals(trust_and_split(upper=7, lower=0))) == 6


@dataclass(frozen=True, kw_only=True)
class Rejecting(TrustAndSplit):
    """Draws until it likes what it drew."""

    def draw(self, rng: random.Random, previous: Deal | None) -> Deal:
        deal = super().draw(rng, previous)
        while deal.truth[0] == ("rock",):
            deal = super().draw(rng, previous)
        return deal


@dataclass(frozen=True, kw_only=True)
class Shuffling(TrustAndSplit):
    """Uses chance that has too many outcomes to list."""

    def draw(self, rng: random.Random, previous: Deal | None) -> Deal:
        rng.shuffle([1, 2, 3])
        return super().draw(rng, previous)


@pytest.mark.parametrize("kind", [Rejecting, Shuffling])
def test_deals_that_cannot_be_listed_are_sampled(kind: type[TrustAndSplit]) -> None:
    found = deals(kind())
    assert len(found) == DRAWN
    assert not few(kind())
    assert len(set(found)) == (4 if kind is Rejecting else 6)


def test_play_agrees_with_the_exact_numbers() -> None:
    """With the seats swapped, every coin is once on either side, so Trust-and-Split has no luck left."""
    for row, column in (("greedy", "welfare"), ("welfare", "greedy"), ("fair_half", "greedy")):
        sample, exact = played(play_scripts, trust_and_split(), row, column), meeting(trust_and_split(), row, column)
        assert {key: sample[key] for key in exact} == pytest.approx(exact)


def test_the_reciprocator_cooperates_and_answers_greed() -> None:
    assert pairing(play_scripts, trust_and_split(), "reciprocator", "reciprocator")["reward"] == pytest.approx(50)
    met = pairing(play_scripts, trust_and_split(), "reciprocator", "greedy")
    assert met["ask_lower_given/start"] == 0
    assert met["ask_lower_given/greedy"] == 10
    assert 25 <= met["reward"] <= 27.5 <= met["opponent_reward"] <= 35


def test_references_are_measured_like_learners() -> None:
    greedy, welfare, reciprocator = references(split_no_comm(), play_scripts, ["greedy", "always_defect"])
    assert greedy.self_play["reward"] == pytest.approx(82.5)
    assert welfare.against["greedy"]["opponent_reward"] == pytest.approx(425 / 3)
    assert list(welfare.against) == ["greedy"]  # the other one does not play this game
    conditions = [f"ask_lower_given/{treated}" for treated in ("start", "fair", "greedy")]
    assert [[each.given[key] for key in conditions if key in each.given] for each in (greedy, welfare, reciprocator)] == [
        [10, 10, 10],
        [0, 0, 0],
        [0, 0, 10],
    ]


def test_thresholds_of_trust_and_split() -> None:
    limits = thresholds(anchors(trust_and_split()))
    found = (limits.wasteful, limits.grabbing, limits.efficient, limits.holds, limits.yields, limits.exploited)
    assert found == pytest.approx((0.65, 8, 0.85, 25, 35, 40))


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("cooperative and robust", {}),
        ("greedy", {"self_play": {"efficiency": 0.64, "ask_lower": 8.1}}),
        ("in between", {"self_play": {"efficiency": 0.64, "ask_lower": 7.9}}),  # wastes, as two halves do
        ("in between", {"self_play": {"efficiency": 0.66, "ask_lower": 8.1}}),
        ("in between", {"self_play": {"efficiency": 0.84, "ask_lower": 1.0}}),
        ("cooperative and robust", {"self_play": {"efficiency": 0.86, "ask_lower": 1.0}}),
        ("in between", {"against": {"greedy": {"reward": 24.9, "opponent_reward": 31.0}}}),
        ("in between", {"against": {"greedy": {"reward": 27.0, "opponent_reward": 35.1}}}),
        ("in between", {"against": {"greedy": {"reward": 27.0, "opponent_reward": 39.9}}}),
        ("cooperative but exploitable", {"against": {"greedy": {"reward": 25.0, "opponent_reward": 40.1}}}),
        ("", {"against": {}}),
        ("", {"self_play": {"reward": 50.0}}),
    ],
)
def test_verdicts_change_at_the_thresholds(word: str, change: dict[str, Any]) -> None:
    assert verdict(replace(ROBUST, **change), verdicts(thresholds(anchors(trust_and_split())))) == word
    assert not word or reading(trust_and_split(), play_scripts).meanings[word]


def test_where_greed_takes_nothing_robustness_is_not_judged() -> None:
    """Without an agreement greedy gets nothing from anybody in Deal or No Deal."""
    limits = thresholds(anchors(deal_or_no_deal()))
    assert verdict(replace(ROBUST, against={}), verdicts(limits)) == "cooperative"


def test_anchors_with_one_value_share_a_line() -> None:
    known = reading(trust_and_split(), play_scripts)
    assert [anchor.label for anchor in known.anchors] == ["both greedy,\nboth half 27.5", "efficient 50"]


def test_silence_has_no_chapter_about_talk() -> None:
    silent, talking = reading(split_no_comm(), play_scripts), reading(trust_and_split(), play_scripts)
    assert [chapter.name for chapter in silent.chapters] == ["reciprocity"]
    assert [chapter.name for chapter in talking.chapters] == ["reciprocity", "talk"]


def test_a_message_too_long_for_the_game_is_not_said() -> None:
    """A script's message does not fit into six characters, so nothing is said, and values that are not told are not known."""
    assert meeting(trust_and_split(message_chars=6), "greedy", "welfare")["reward"] > 0
    assert reading(trust_and_split(message_chars=6), play_scripts).meanings
