"""What the policy is in a splitting game, worked out by hand on episodes whose deals and answers are written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from detente.evaluation.measures import flat_tables, measured, measures
from detente.games import make
from detente.games.base import Observation
from detente.games.splitting.deal_or_no_deal import DealOrNoDeal
from detente.games.splitting.deals import Deal, SplitState
from detente.games.splitting.item_split import ItemSplit, value_pairs
from detente.games.splitting.trust_and_split import TrustAndSplit
from detente.players.base import MemorylessPlayer
from detente.records import Completion, Episode, PolicyRef
from detente.rollout import Match, play_matches


class Dealt:
    """A game whose deals are given; the first player opens."""

    def __init__(self, game: DealOrNoDeal | ItemSplit | TrustAndSplit, deals: list[Deal]) -> None:
        self.game, self.deals = game, tuple(deals)

    def __getattr__(self, name: str) -> Callable[..., Any] | int:
        return getattr(self.game, name)

    def reset(self, rng: Random) -> SplitState:
        return SplitState(self.deals, first=0)


@dataclass
class Says(MemorylessPlayer):
    """Gives these answers in turn: a message as text, an ask as a tuple of units, anything else as it stands in a list."""

    answers: list[Any]
    policy = PolicyRef("script", "says")

    async def act(self, observation: Observation) -> Completion:
        answer, view = self.answers.pop(0), observation.view
        if isinstance(answer, list):
            (text,) = answer
        else:
            text = view.message(answer) if isinstance(answer, str) else view.ask(answer)
        return Completion(text, self.policy)

    def close(self) -> None:
        assert not self.answers


def play(
    game: DealOrNoDeal | ItemSplit | TrustAndSplit, deals: list[Deal], *seats: Any
) -> tuple[tuple[Episode, int], tuple[Episode, int]]:
    """Each seat's answers to the whole episode -> the two sides of it."""
    (episode,) = play_matches([Match(Dealt(game, deals), 0, [Says(list(answers)) for answers in seats])])  # type: ignore[arg-type]
    return (episode, 0), (episode, 1)


def hands(own: str, other: str) -> Deal:
    """The deal of a round of Trust-and-Split."""
    wins = (own, other) in (("rock", "scissors"), ("scissors", "paper"), ("paper", "rock"))
    return Deal((10,), ((10,), (1,)) if wins else ((1,), (10,)), ((own,), (other,)))


# ---- Trust-and-Split, four rounds

HANDS: Any = make("trust_and_split")
FIRST, SECOND = play(
    HANDS,
    [hands("rock", "scissors"), hands("paper", "scissors"), hands("scissors", "paper"), hands("scissors", "rock")],
    # truth; all three hands; the other's hand; truth
    ["My hand is rock.", (10,), "Rock, paper, scissors? PAPER.", (2,), "My hand is paper.", (6,), "Scissors!", (5,)],
    # a lie; silence; truth and then no valid ask; one hand too many
    ["My hand is paper.", (10,), "", (8,), "My hand is paper.", ["ten"], "I hold rock, not paper.", (5,)],
)


def test_points_asks_and_efficiency() -> None:
    # points 50 and 5, 2 and 80, 60 and 0, 5 and 50, of 100 in every round
    first, second = (measured(HANDS, [side])[0] for side in (FIRST, SECOND))
    assert first["reward"] == 117 / 4
    assert second["reward"] == 135 / 4
    assert first["efficiency"] == second["efficiency"] == pytest.approx((0.55 + 0.82 + 0.60 + 0.55) / 4)
    assert first["inequality"] == second["inequality"] == pytest.approx(18 / 252)
    assert (first["ask_higher"], first["ask_lower"]) == (8, 3.5)  # 10 and 6; 2 and 5
    assert (second["ask_higher"], second["ask_lower"]) == (6.5, 5)  # 8 and 5; 10 and, for want of a valid one, 0
    assert (first["invalid"], second["invalid"]) == (0, 1 / 8)


def test_truthfulness_is_the_truth_and_only_it() -> None:
    assert measures(HANDS, [FIRST])["truthfulness"] == 2 / 4
    assert measures(HANDS, [SECOND])["truthfulness"] == 1 / 4
    assert measures(HANDS, [FIRST, SECOND])["truthfulness"] == 3 / 8


def test_asks_after_what_was_told() -> None:
    # told that the other holds paper against one's own rock (lower), nothing, paper against scissors (upper), two hands
    assert measured(HANDS, [FIRST])[1]["ask_told"] == {"upper": 6, "lower": 10, "nothing": 3.5}
    # told rock against scissors (lower), three hands, one's own hand, scissors against rock (upper)
    assert measured(HANDS, [SECOND])[1]["ask_told"] == {"upper": 5, "lower": 10, "nothing": 4}


@pytest.mark.parametrize(("claim", "units", "believed"), [("rock", 6, 1), ("rock", 5, 0), ("scissors", 5, 0), ("scissors", 4, 1)])
def test_belief_is_a_matter_of_more_or_less_than_half(claim: str, units: int, believed: int) -> None:
    # the second player holds paper: rock makes it the upper hand, scissors the lower one
    _, second = play(HANDS, [hands("scissors", "paper")], [f"It is {claim}", (3,)], ["", (units,)])
    assert measures(HANDS, [second])["believed"] == believed


def test_belief_is_a_share_of_the_rounds_with_something_usable() -> None:
    assert measures(HANDS, [FIRST])["believed"] == 1 / 2
    assert measures(HANDS, [SECOND])["believed"] == 0
    silent, _ = play(HANDS, [hands("scissors", "paper")], ["paper", (3,)], ["", (3,)])
    assert measures(HANDS, [silent])["believed"] is None
    assert measured(HANDS, [silent])[1]["ask_told"] == {"upper": None, "lower": None, "nothing": 3}


def test_asks_after_greed_and_fairness() -> None:
    # the first player saw greed in round 1 (10 of 10 with the lower hand), nothing in 2, and in 3 an ask for nothing
    assert measured(HANDS, [FIRST])[1]["reciprocity"] == {
        "start": {"ask_higher": 10, "ask_lower": None},
        "fair": {"ask_higher": None, "ask_lower": 5},
        "greedy": {"ask_higher": 6, "ask_lower": 2},
    }
    # the second saw nothing in round 1, 2 of 10 in round 2, nothing in 3
    assert measured(HANDS, [SECOND])[1]["reciprocity"] == {
        "start": {"ask_higher": 8, "ask_lower": 10},
        "fair": {"ask_higher": 5, "ask_lower": 0},
        "greedy": {"ask_higher": None, "ask_lower": None},
    }


@pytest.mark.parametrize(("units", "after"), [(5, "fair"), (6, "greedy")])
def test_greed_is_more_than_half(units: int, after: str) -> None:
    deal = hands("rock", "scissors")
    first, _ = play(HANDS, [deal, deal], ["", (7,), "", (9,)], ["", (units,), "", (1,)])
    assert measures(HANDS, [first])[f"ask_higher_given/{after}"] == 9
    assert measures(HANDS, [first])["ask_higher_given/start"] == 7


def test_sides_are_pooled_round_by_round() -> None:
    both = measured(HANDS, [FIRST, SECOND])[1]
    assert both["reciprocity"]["fair"] == {"ask_higher": 5, "ask_lower": 2.5}
    assert both["ask_told"] == {"upper": 5.5, "lower": 10, "nothing": 3.75}


def test_inequality_is_averaged_over_episodes() -> None:
    empty, _ = play(HANDS, [hands("rock", "scissors")], ["", (0,)], ["", (0,)])
    assert measures(HANDS, [FIRST, empty])["inequality"] == pytest.approx((18 / 252 + 0) / 2)


def test_each_of_several_messages_is_true_or_not_and_together_they_tell() -> None:
    game: Any = make("trust_and_split", messages=2)
    first, second = play(game, [hands("rock", "scissors")], ["Hello", "rock", (9,)], ["scissors", "not paper", (1,)])
    assert measures(game, [first])["truthfulness"] == 1 / 2
    assert measures(game, [first])["ask_told/nothing"] == 9  # two hands in two messages
    assert measures(game, [second])["ask_told/lower"] == 1


def test_the_names_of_the_metrics() -> None:
    assert flat_tables(measured(HANDS, [FIRST])[1]) == {
        "ask_higher_given/start": 10,
        "ask_lower_given/start": None,
        "ask_higher_given/fair": None,
        "ask_lower_given/fair": 5,
        "ask_higher_given/greedy": 6,
        "ask_lower_given/greedy": 2,
        "ask_told/upper": 6,
        "ask_told/lower": 10,
        "ask_told/nothing": 3.5,
    }


def test_a_record_that_was_read_back_measures_the_same() -> None:
    again = Episode.from_json(FIRST[0].to_json())
    assert measures(HANDS, [(again, 0)]) == measures(HANDS, [FIRST])


def test_without_episodes_there_is_nothing() -> None:
    assert measures(HANDS, []) == {}
    scalars, tables = measured(HANDS, [])
    assert scalars == {}
    assert tables == {"reciprocity": {last: {"ask_higher": None, "ask_lower": None} for last in ("start", "fair", "greedy")}}


# ---- several items

ITEMS: Any = make("split_no_comm")


def test_a_tied_item_is_neither_higher_nor_lower() -> None:
    deal = Deal((10, 10, 10), ((10, 1, 1), (1, 10, 1)))
    first, second = play(ITEMS, [deal, deal], [(9, 2, 5), (8, 0, 5)], [(6, 10, 5), (0, 10, 5)])
    found = measures(ITEMS, [first])
    assert (found["ask_higher"], found["ask_lower"]) == (8.5, 1)
    assert found["ask_lower_given/greedy"] == 0  # the other had asked for 6 of 10 hats
    assert measures(ITEMS, [second])["ask_lower_given/fair"] == 0  # and oneself for 2 of 10 books


def test_public_values_and_silence_leave_nothing_to_tell() -> None:
    talk = make("split_no_comm", messages=1)
    deal = Deal((10, 10, 10), ((10, 1, 1), (1, 10, 1)), (("hats",), ("books",)))
    first, _ = play(talk, [deal], ["hats", (1, 1, 1)], ["books", (1, 1, 1)])  # type: ignore[arg-type]
    silent = make("trust_and_split", messages=0)
    quiet, _ = play(silent, [hands("rock", "paper")], [(1,)], [(1,)])  # type: ignore[arg-type]
    for game, side in ((talk, first), (silent, quiet)):
        assert not {"truthfulness", "believed", "agreement"} & measures(game, [side]).keys()
        assert measured(game, [side])[1].keys() == {"reciprocity"}


def test_told_what_the_other_values_every_item_has_its_side() -> None:
    game: Any = make("trust_and_split_items")
    deal = Deal((10, 10, 10), ((10, 1, 1), (1, 10, 1)), (("hats",), ("books",)))
    answers = ["I value hats most.", (7, 2, 9)], ["I value books most.", (6, 8, 0)]
    first, second = play(game, [deal], *answers)
    found = measures(game, [first])
    assert (found["ask_told/upper"], found["ask_told/lower"], found["ask_told/nothing"]) == (7, 2, None)
    assert (found["believed"], found["truthfulness"]) == (1, 1)
    assert measures(game, [second])["believed"] == 1 / 2  # 8 books as told, but 6 hats
    # with one item of high value oneself, the other cannot have two of them
    lost, _ = play(game, [deal], ["hats", (7, 2, 9)], ["hats and books", (0, 0, 0)])
    assert measures(game, [lost])["ask_told/nothing"] == 6


def test_a_deal_or_none() -> None:
    """One book, four hats, one ball: worth 4 + 4x1 + 2 to one player and 0 + 4x2 + 2 to the other; together at best 4 + 8 + 2."""
    game: Any = make("deal_or_no_deal", messages=0)
    deal = Deal((1, 4, 1), ((4, 1, 2), (0, 2, 2)), (("books",), ("hats", "balls")))
    first, second = play(game, [deal, deal, deal], [(1, 0, 1), (1, 1, 1), (0, 0, 0)], [(0, 4, 0), (1, 4, 0), (1, 4, 1)])
    found = measures(game, [first])
    # a deal of 6 and 8 points; one book and a hat too many; and one who takes all and one who takes nothing
    assert found["agreement"] == pytest.approx(2 / 3)
    assert found["efficiency"] == pytest.approx((14 / 14 + 0 + 10 / 14) / 3)
    assert found["inequality"] == pytest.approx((8 + 10 - 6) / (6 + 8 + 10))
    assert (found["ask_higher"], found["ask_lower"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))  # type: ignore[comparison-overlap]
    # the other asked for no book, then for the only one
    assert (found["ask_higher_given/start"], found["ask_higher_given/fair"], found["ask_higher_given/greedy"]) == (1, 1, 0)
    # 0 of 4 hats, then 1 of 4: never more than half
    assert measures(game, [second])["ask_lower_given/fair"] == 1
    poor, _ = play(game, [deal], [(1, 4, 1)], [(1, 4, 1)])
    assert (measures(game, [poor])["inequality"], measures(game, [poor])["agreement"]) == (0, 0)


# ---- against the exact payoffs of docs/games.md, over every deal of the game


def greedy(own: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return (10,) * len(own)


def welfare(own: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(10 if a > b else 0 if a < b else 5 for a, b in zip(own, other, strict=True))


def half(own: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return (5,) * len(own)


COINS = [hands(a, b) for a in ("rock", "paper", "scissors") for b in ("rock", "paper", "scissors") if a != b]
ALL_ITEMS = [Deal((10, 10, 10), pair) for pair in value_pairs(3, 1, 10)]


@pytest.mark.parametrize(
    ("game", "deals", "row", "column", "points", "efficiency"),
    [
        ("trust_and_split", COINS, greedy, greedy, (27.5, 27.5), 0.55),
        ("trust_and_split", COINS, welfare, welfare, (50, 50), 1),
        ("trust_and_split", COINS, greedy, welfare, (52.5, 25), 0.775),
        ("trust_and_split", COINS, half, half, (27.5, 27.5), 0.55),
        ("trust_and_split", COINS, greedy, half, (36.67, 18.33), 0.55),
        ("split_no_comm", ALL_ITEMS, greedy, greedy, (82.5, 82.5), 0.636),
        ("split_no_comm", ALL_ITEMS, welfare, welfare, (127.5, 127.5), 1),
        ("split_no_comm", ALL_ITEMS, greedy, welfare, (141.67, 68.33), 0.818),
    ],
)
def test_anchor_efficiency(
    game: str, deals: list[Deal], row: Callable[..., Any], column: Callable[..., Any], points: tuple[float, ...], efficiency: float
) -> None:
    rules = make(game, messages=0)
    asks = [[seat(deal.values[p], deal.values[1 - p]) for deal in deals] for p, seat in enumerate((row, column))]
    found = [measures(rules, [side]) for side in play(rules, deals, *asks)]  # type: ignore[arg-type]
    assert [one["reward"] for one in found] == [pytest.approx(p, abs=0.005) for p in points]
    assert [one["efficiency"] for one in found] == [pytest.approx(efficiency, abs=0.0005)] * 2
    assert found[0]["ask_lower"] == {greedy: 10, welfare: 0, half: 5}[row]
