"""The chats that the embedded model learns from: real prompts, valid answers, and the manners that the docs promise."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from detente.games.splitting.deal_or_no_deal import deal_or_no_deal
from detente.games.splitting.item_split import split_no_comm
from detente.games.splitting.trust_and_split import BEATS, trust_and_split
from detente.pocket.chats import SOURCES, matrix_chat
from detente.pocket.deal_chats import deal_chat, offered, settled, share
from detente.pocket.splitting_chats import item_chat, trust_chat

ANSWERS = re.compile(
    r"<\w>"
    r"|(<<message_start>>|<message>|Message:)[^<>]*(<<message_end>>|</message>|)"
    r"|(<<proposal_start>>|<proposal>|Proposal:) [^<>]*\d[^<>]*(<<proposal_end>>|</proposal>|)"
)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_chats_alternate_and_answers_have_the_format_that_was_asked_for(source: Any) -> None:
    for seed in range(100):
        chat = source(random.Random(seed))
        assert [message["role"] for message in chat] == ["user", "assistant"] * (len(chat) // 2)
        assert all(ANSWERS.fullmatch(message["content"]) for message in chat[1::2])
        assert chat == source(random.Random(seed))


def test_shares_add_up() -> None:
    assert sum(SOURCES.values()) == pytest.approx(1)
    assert set(SOURCES) == {matrix_chat, trust_chat, item_chat, deal_chat}


def rounds(count: Any) -> Iterator[Any]:
    """The rounds of Trust-and-Split chats in the usual form: hand, hand that was heard, ask, and the other's last telling ask."""
    for seed in range(count):
        hand, heard, telling = "", "", None
        for told, answer in zip(*[iter(trust_chat(random.Random(seed)))] * 2, strict=True):
            text = told["content"]
            if "10 coins" not in text and not hand:
                break
            if found := re.search(r"Last round the other player had the (\w+) hand and asked for (\d+)", text):
                telling = int(found[2]) if found[1] == "lower" else telling
            if found := re.search(r"Your hand is (\w+)", text):
                hand, heard = found[1], ""
            if found := re.search('says: "(.*)"', text):
                heard = found[1]
            if match := re.fullmatch(r"<<proposal_start>> (\d+) <<proposal_end>>", answer["content"]):
                named = [word for word in BEATS if word in heard.lower()]
                yield hand, named[0] if len(named) == 1 else None, int(match[1]), telling


def test_the_assistant_believes_what_it_is_told_and_reacts_mildly_to_greed() -> None:
    asks: Any = {"upper": [], "lower": [], "crossed": []}
    for hand, named, ask, telling in rounds(1500):
        if named and named != hand and ask <= 10:
            crossed = telling is not None and telling > 5
            asks["upper" if BEATS[hand] == named else "crossed" if crossed else "lower"].append(ask)
    means = {key: sum(values) / len(values) for key, values in asks.items()}
    # By hand from the probabilities of everything, half and nothing; the rest is uniform with mean 5.
    assert means["upper"] == pytest.approx(0.88 * 10 + 0.06 * 5 + 0.06 * 5, abs=0.3)
    assert means["lower"] == pytest.approx(0.04 * 10 + 0.06 * 5 + 0.08 * 5, abs=0.3)
    assert means["crossed"] == pytest.approx(0.22 * 10 + 0.14 * 5 + 0.08 * 5, abs=0.5)


def test_the_assistant_names_its_hand() -> None:
    said: Any = Counter()
    for seed in range(600):
        for told, answer in zip(*[iter(trust_chat(random.Random(seed)))] * 2, strict=True):
            if hand := re.search(r"Your hand is (\w+)", told["content"]):
                current = hand[1]
            if "message" in answer["content"].lower():
                said[current in answer["content"]] += 1
    assert said[True] / said.total() == pytest.approx(0.97, abs=0.01)


def test_items_go_to_whoever_values_them_more() -> None:
    kept: Any = Counter()
    for seed in range(400):
        for told, answer in zip(*[iter(item_chat(random.Random(seed)))] * 2, strict=True):
            found = re.search(r"You value hats (\d+),.*; the other player values hats (\d+),", told["content"])
            if found and (ask := re.match(r"Proposal: (\d+) hats", answer["content"])):
                own, other = int(found[1]), int(found[2])
                kept["higher" if own > other else "lower" if own < other else "tie", int(ask[1])] += 1
    shares = {key: count / sum(c for (k, _), c in kept.items() if k == key[0]) for key, count in kept.items()}
    assert shares["higher", 10] > 0.8
    assert 0.5 < shares["lower", 0] < 0.85
    assert shares["tie", 5] > 0.8


def test_an_offer_is_read_and_the_rest_is_proposed() -> None:
    game = deal_or_no_deal()
    state = game.reset(random.Random(3))
    opener = state.first
    stock = state.deal.stock
    state = game.step(state, {opener: "I value books most."}).state
    listener = game.observe(state, 1 - opener).view
    assert offered(listener, listener.heard) is None
    offer = ", ".join(f"{n} {item}" for n, item in zip(share(listener), game.items, strict=True))
    state = game.step(state, {1 - opener: f"I take {offer}."}).state
    agreed = game.observe(state, opener).view
    assert offered(agreed, agreed.heard) == share(listener)
    assert tuple(map(sum, zip(settled(agreed), share(listener), strict=True))) == stock


def test_most_deals_of_an_obliging_partner_are_closed() -> None:
    closed: Any = Counter()
    for seed in range(300):
        for told in deal_chat(random.Random(seed))[2::2]:
            if points := re.search(r"you got ([\d.]+) points, the other player ([\d.]+)\.", told["content"]):
                closed[float(points[1]) + float(points[2]) > 0] += 1
    assert closed[True] / closed.total() > 0.5


def test_the_prompts_are_the_games_own() -> None:
    first = trust_and_split().reset(random.Random(0))
    rules = trust_and_split().rules()
    assert trust_and_split().observe(first, 0).text.startswith(rules)
    assert any(trust_chat(random.Random(seed))[0]["content"].startswith(rules) for seed in range(10))
    public = split_no_comm().rules()
    assert any(item_chat(random.Random(seed))[0]["content"].startswith(public) for seed in range(10))
