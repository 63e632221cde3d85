"""Offers by hand, and how often scripts reach a deal."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from detente.games import make
from detente.games.splitting import named
from detente.games.splitting.bargaining import bargain, is_enough, left, spoken
from detente.games.splitting.deal_or_no_deal import contexts
from detente.games.splitting.deals import Deal, SplitState, SplitView
from detente.players.scripted import scripted
from detente.rollout import Match, play_matches

GAME: Any = make("deal_or_no_deal")
DEAL = Deal((1, 4, 1), ((4, 1, 2), (2, 2, 0)), (("books",), ("books", "hats")))


def hears(*texts: str, seat: int = 0) -> SplitView:
    view: SplitView = GAME.observe(SplitState((DEAL,), 0), seat).view
    return replace(view, heard=texts)


@pytest.mark.parametrize(
    ("texts", "rest"),
    [
        ((), None),
        (("I take 1, 0, 1.",), (0, 4, 0)),
        (("I take 1 books, 0 hats and 1 balls.", "Agreed?"), (0, 4, 0)),
        (("I take 1, 4, 1.", "I take 1, 3, 0."), (0, 1, 1)),
        (("I take 2, 0, 0.",), None),  # there is one book
        (("I take 3.",), None),
    ],
)
def test_the_last_offer_is_read(texts: tuple[Any, ...], rest: tuple[int, int, int] | None) -> None:
    assert left(hears(*texts)) == rest


def test_an_offer_names_no_item() -> None:
    assert left(hears(spoken((1, 0, 1)))) == (0, 4, 0)
    assert named(spoken((1, 0, 1)), GAME.items) == frozenset()


def test_takes_what_is_enough_and_else_makes_its_own_offer() -> None:
    # Worth 4, 1 and 2 each: half of 10 points takes the book and one more thing, the ball being worth more than a hat.
    assert bargain(hears()) == (1, 0, 1)
    assert bargain(hears(), wanted={"balls"}) == (1, 1, 0)
    assert bargain(hears(), wanted={"books"}) == (0, 3, 1)
    assert bargain(hears("I take 0, 4, 0.")) == (1, 0, 1)
    assert bargain(hears("I take 0, 3, 0.")) == (1, 1, 1)
    assert bargain(hears("I take 1, 0, 0.")) == (0, 4, 1)
    assert bargain(hears("I take 1, 1, 0.")) == (0, 3, 1)  # 5 of 10 points
    assert bargain(hears("I take 1, 2, 0.")) == (1, 0, 1)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("names", [("welfare", "welfare"), ("welfare", "fair_half"), ("fair_half", "fair_half")])
@pytest.mark.parametrize("messages", [1, 2])
def test_fair_players_reach_deals(names: tuple[str, str], messages: int, first: int) -> None:
    """Nearly as many as there are deals that have a division worth half to both, found by trying every division."""
    rng, game = random.Random(0), make("deal_or_no_deal", messages=messages)
    deals = [game.draw(rng, None) for _ in range(150)]  # type: ignore[attr-defined]
    state = SplitState(tuple(deals), first)

    class Drawn(type(game)):  # type: ignore[misc]
        def reset(self, rng: Any) -> Any:
            return state

    (episode,) = play_matches([Match(Drawn(messages=messages), 0, [scripted(name, 0, GAME) for name in names])])
    agreed = [any(map(any, one.info["received"])) for one in episode.rounds]
    possible = [any(worth_half(deal, units) for units in divisions(deal.stock)) for deal in deals]
    assert sum(agreed) >= 0.9 * sum(possible)
    assert all(can for can, done in zip(possible, agreed, strict=True) if done)


def divisions(stock: Any) -> Any:
    books, hats, balls = (range(q + 1) for q in stock)
    return ((a, b, c) for a in books for b in hats for c in balls)


def worth_half(deal: Any, units: Any) -> Any:
    rest = [q - n for q, n in zip(deal.stock, units, strict=True)]
    return all(
        sum(n * v for n, v in zip(taken, values, strict=True)) >= 5
        for taken, values in zip((units, rest), deal.values, strict=True)
    )


def test_who_takes_everything_gets_nothing_from_fair_players() -> None:
    for name in ("greedy", "liar"):
        (episode,) = play_matches([Match(GAME, 0, [scripted(name, 0, GAME), scripted("welfare", 0, GAME)])])
        assert episode.mean_reward(0) == episode.mean_reward(1) == 0


def test_truthful_messages_stay_truthful() -> None:
    (episode,) = play_matches([Match(GAME, 0, [scripted("welfare", 0, GAME), scripted("greedy", 0, GAME)])])
    for one in episode.rounds:
        for turn in one.turns:
            if turn.phase == "message":
                assert named(turn.action, GAME.items) == set(one.info["truth"][turn.player])


def test_half_of_anything_can_be_offered() -> None:
    for stock, (own, _) in contexts()[::50]:
        view = replace(hears(), stock=stock, known=replace(hears().known, own=own))
        assert is_enough(view, bargain(view))
