"""Strategies of the splitting games: hand-worked rounds, game records, and the anchor payoffs of docs/games.md."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest

from detente.games import make
from detente.games.splitting import named
from detente.games.splitting.deals import Deal, Seen, SplitState, SplitView, Values
from detente.games.splitting.item_split import ItemSplit, value_pairs
from detente.games.splitting.strategies import SPLITTING
from detente.games.splitting.trust_and_split import BEATS
from detente.players.scripted import scripted
from detente.rollout import Match, play_matches

COINS: Any = make("trust_and_split")
ROCK_AGAINST_SCISSORS = Deal((10,), ((10,), (1,)), (("rock",), ("scissors",)))


@dataclass(frozen=True, kw_only=True)
class EveryPair(ItemSplit):
    """The twelve equally likely value pairs, one a round: means over an episode are expectations."""

    def reset(self, rng: random.Random) -> SplitState:
        pairs = value_pairs(3, self.low, self.high)
        return SplitState(tuple(Deal((10,) * 3, pair, tuple(map(self._most, pair))) for pair in pairs), first=0)


GAMES = {
    "trust_and_split": COINS,
    "split_no_comm": EveryPair(name="split_no_comm", public=True, messages=0),
    "items": EveryPair(name="trust_and_split_items"),
}


def payoffs(row: str, column: str, game: str) -> tuple[float, float]:
    """Points per round, over both seatings of a deal: each side holds either hand equally often, so the means are exact."""
    seatings = [(row, column), (column, row)]
    matches = [Match(GAMES[game], 0, [scripted(name, seat, GAMES[game]) for seat, name in enumerate(names)]) for names in seatings]
    one, two = play_matches(matches)
    assert all(turn.valid for episode in (one, two) for turn in episode.turns())
    return (one.mean_reward(0) + two.mean_reward(1)) / 2, (one.mean_reward(1) + two.mean_reward(0)) / 2


@pytest.mark.parametrize(
    ("row", "column", "coins", "items"),
    [
        ("greedy", "greedy", (27.5, 27.5), (82.5, 82.5)),
        ("welfare", "welfare", (50, 50), (127.5, 127.5)),
        ("greedy", "welfare", (52.5, 25), (141.67, 68.33)),
        ("fair_half", "fair_half", (27.5, 27.5), (82.5, 82.5)),
        ("greedy", "fair_half", (36.67, 18.33), (110, 55)),
        ("reciprocator", "reciprocator", (50, 50), (127.5, 127.5)),
        ("grim", "welfare", (50, 50), (127.5, 127.5)),
        ("liar", "greedy", (27.5, 27.5), (82.5, 82.5)),
        ("half_lower", "reciprocator", (51.67, 33.33), (130.83, 94.17)),
        ("fair_reciprocator", "fair_reciprocator", (50, 50), (127.5, 127.5)),
        ("fair_reciprocator", "welfare", (50, 50), (127.5, 127.5)),
    ],
)
def test_anchor_payoffs(row: str, column: str, coins: tuple[float, ...], items: tuple[float, ...]) -> None:
    for game, expect in (("trust_and_split", coins), ("split_no_comm", items), ("items", items)):
        assert payoffs(row, column, game) == pytest.approx(expect, abs=0.005), game


@pytest.mark.parametrize("name", ["reciprocator", "grim"])
def test_greedy_gains_from_one_round_alone(name: str) -> None:
    # In round one each values one item at 10, so greedy gets 6.67 + 100 + 5 instead of 60 and leaves 3.33 + 50 instead of 60.
    theirs, own = payoffs("greedy", name, "split_no_comm")
    assert (theirs - 82.5) * 12 == pytest.approx(51.67, abs=0.01)
    assert (82.5 - own) * 12 == pytest.approx(6.67, abs=0.01)


def round_of(*names: str, deal: Deal = ROCK_AGAINST_SCISSORS, first: int = 0) -> tuple[list[str], list[int]]:
    """What the two say and ask for in a round, in order of their seats."""
    state = SplitState((deal,), first)
    actions: dict[int, list[Any]] = {0: [], 1: []}
    while acting := COINS.to_act(state):
        now = {}
        for seat in acting:
            answer = SPLITTING[names[seat]](COINS.observe(state, seat).view, random.Random(0))
            now[seat] = COINS.parse(state, seat, answer)
            actions[seat].append(now[seat])
        state = COINS.step(state, now).state
    return [actions[seat][0] for seat in (0, 1)], [actions[seat][1]["coins"] for seat in (0, 1)]


@pytest.mark.parametrize(
    ("names", "said", "asked"),
    [
        (("greedy", "fair_half"), ["My hand is rock.", "My hand is scissors."], [10, 5]),
        (("welfare", "welfare"), ["My hand is rock.", "My hand is scissors."], [10, 0]),
        (("silent", "welfare"), ["", "My hand is scissors."], [10, 5]),
        (("welfare", "liar"), ["My hand is rock.", "My hand is paper."], [0, 10]),  # paper beats rock: a lie that pays
        (("silent", "silent"), ["", ""], [5, 5]),
    ],
)
def test_a_round_of_talk(names: tuple[str, str], said: list[str], asked: list[int]) -> None:
    assert round_of(*names) == (said, asked)


@pytest.mark.parametrize("first", [0, 1])
def test_the_liar_never_names_its_hand(first: int) -> None:
    for hand in BEATS:
        deal = Deal((10,), ((10,), (1,)), ((hand,), (BEATS[hand],)))
        for names in (("liar", "welfare"), ("welfare", "liar")):
            seat = names.index("liar")
            words = named(round_of(*names, deal=deal, first=first)[0][seat], BEATS)
            assert len(words) == 1
            assert not words & set(deal.truth[seat])


def test_items_are_claimed_and_believed() -> None:
    deal = Deal((10, 10, 5), ((10, 1, 10), (1, 10, 10)), (("hats", "balls"), ("books", "balls")))
    game: Any = make("trust_and_split_items")
    state = SplitState((deal,), first=0)
    message = game.observe(state, 0).view
    assert SPLITTING["welfare"](message, random.Random(0)) == "<<message_start>> I value hats and balls most. <<message_end>>"
    heard = replace(message, phase="decision", heard=("I value BOOKS and balls most!",))
    assert SPLITTING["welfare"](heard, random.Random(0)) == "<<proposal_start>> 10 hats, 0 books, 2 balls <<proposal_end>>"
    for unclear in ((), ("I value everything: hats, books, balls.",), ("I value hats and balls most.",)):
        asked = SPLITTING["welfare"](replace(heard, heard=unclear), random.Random(0))
        assert asked == "<<proposal_start>> 5 hats, 5 books, 2 balls <<proposal_end>>"


def versus(name: str, others: str, reveal: bool = True) -> str:
    """What it does round by round against these moves: G greedy, W welfare, - the other had the upper hand."""
    base: SplitView = COINS.observe(SplitState((ROCK_AGAINST_SCISSORS,), 0), 1).view
    lower = replace(base, phase="decision", heard=("My hand is rock.",))  # welfare asks for 0, greedy for 10
    record, past = "", ()
    for move in others:
        record += {"0": "W", "10": "G"}[SPLITTING[name](lower, random.Random(0)).split()[1]]
        values = Values((1,), (10,)) if move == "-" else Values((10,), (1,))
        asks = (0,) if move == "W" else (10,)
        past = (*past, Seen((10,), values if reveal else None, (0,), asks))  # type: ignore[assignment]
        lower = replace(lower, past=past)
    return record


def test_records() -> None:
    assert versus("welfare", "GGGG") == "WWWW"
    assert versus("greedy", "WWWW") == "GGGG"
    assert versus("reciprocator", "WGWWWW") == "WWGGWW"
    assert versus("reciprocator", "GGGG") == "WGGG"
    assert versus("reciprocator", "GWGWWW") == "WGGGGW"
    assert versus("reciprocator", "-G--W-WW") == "WWGGGGGW"  # who has the upper hand shows nothing by asking for everything
    assert versus("grim", "WGWWW") == "WWGGG"
    for name in ("reciprocator", "grim"):
        assert versus(name, "GGGG", reveal=False) == "WWWW"


def test_half_is_not_greedy() -> None:
    base = COINS.observe(SplitState((ROCK_AGAINST_SCISSORS,), 0), 1).view
    for asked, expect in ((5, "0"), (6, "10")):
        past = (Seen((10,), Values((10,), (1,)), (0,), (asked,)),)
        view = replace(base, phase="decision", heard=("My hand is rock.",), past=past)
        for name in ("reciprocator", "grim"):
            assert SPLITTING[name](view, random.Random(0)).split()[1] == expect


def test_random_names_and_asks_for_anything() -> None:
    base = COINS.observe(SplitState((ROCK_AGAINST_SCISSORS,), 0), 0).view
    answers = [SPLITTING["random"](base, random.Random(seed)) for seed in range(60)]
    assert frozenset.union(*(named(text, BEATS) for text in answers)) == set(BEATS)  # type: ignore[arg-type]
    asks = {SPLITTING["random"](replace(base, phase="decision"), random.Random(seed)).split()[1] for seed in range(200)}
    assert asks == set(map(str, range(11)))


@pytest.mark.parametrize("game", ["trust_and_split", "trust_and_split_items", "split_no_comm", "deal_or_no_deal"])
def test_every_answer_is_one(game: str) -> None:
    short = make(game, rounds=3)
    for name in SPLITTING:
        (episode,) = play_matches([Match(short, 1, [scripted(name, 0, short), scripted("random", 1, short)])])
        assert all(turn.valid for turn in episode.turns())
