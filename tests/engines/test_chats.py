"""Who has which row, and which chats hold the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from detente.engines.cache import Pool
from detente.engines.chats import MAX_PREFIXES, Chats, common
from detente.records import PolicyRef

if TYPE_CHECKING:
    from detente.engines.chats import Chat


ONE, TWO = PolicyRef("adapter", "main", 1), PolicyRef("adapter", "main", 2)


def test_common() -> None:
    rng = random.Random(0)
    for _ in range(200):
        a, b = ([rng.randrange(2) for _ in range(rng.randrange(6))] for _ in range(2))
        expected = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        assert common(a, tuple(b)) == expected


def test_rows_are_given_back_and_used_again() -> None:
    chats = Chats(pool := Pool())
    rows = [chats.open(f"{i}", ONE)[0].row for i in range(20)]
    assert rows == list(range(20))
    assert chats.open("7", ONE) == (chats.open("7", ONE)[0], False)
    for name in ("3", "11"):
        chats.release(name)
    assert [chats.open(name, ONE)[0].row for name in ("x", "y", "z")] == [3, 11, 20]
    assert chats.open("z", TWO)[1]  # another policy: what the row holds is worth nothing
    assert pool.rows == 24
    for i in (*range(20), "x", "y", "z"):
        chats.release(str(i))
    assert (pool.rows, pool.capacity) == (0, 0)  # given back with the last chat
    assert chats.open("again", ONE)[0].row == 0


def test_the_same_history_exactly_where_policy_and_tokens_are_the_same() -> None:
    chats, rng = Chats(Pool()), random.Random(0)
    some = [chats.open(f"{i}", (ONE, TWO)[i % 2])[0] for i in range(12)]
    for _ in range(40):
        chat = rng.choice(some)
        if rng.random() < 0.2:
            chats.keep_prefix(chat, [*chat.tokens[: rng.randint(1, 9)], 7])
        else:
            chats.extend(chat, [rng.randrange(2)])
        for a in some:
            for b in some:
                if a.history == b.history:
                    assert (a.policy, a.tokens) == (b.policy, b.tokens)
    for chat in some[:4]:
        chats.keep_prefix(chat, [9])
        for tokens in ([1, 2], [3], [4, 5, 6]):
            chats.extend(chat, tokens)
    assert some[0].history == some[2].history != some[1].history == some[3].history


def test_a_history_of_a_policy_that_was_retired_is_not_taken_for_a_new_one() -> None:
    chats = Chats(Pool())
    before = chats.open("a", ONE)[0]
    chats.open("b", TWO)
    chats.extend(before, [1, 2])
    chats.retire(ONE)
    after, new = chats.open("a", ONE)
    chats.extend(after, [1, 2])
    assert new
    assert after.history != before.history


def test_starts_are_computed_once_and_only_where_several_chats_come() -> None:
    chats = Chats(Pool())
    computed = []

    def compute(chat: Chat, tokens: tuple[int, ...]) -> None:
        computed.append((chat.policy, tuple(tokens)))
        chats.extend(chat, tokens)

    def come(*tokens: tuple[int, ...], policy: PolicyRef = ONE) -> list[tuple[Chat, tuple[Any, ...]]]:
        new = [(chats.open(f"{len(computed)} {i} {t}", policy)[0], t) for i, t in enumerate(tokens)]
        chats.share_prefixes(new, compute)  # type: ignore[arg-type]
        return new

    rules = tuple(range(100))
    come((*rules, 1))
    assert computed == []  # one chat alone reads the rules itself
    for (chat, tokens), length in zip(come((*rules, 1), (*rules, 1), (*rules, 2, 3)), (100, 100, 100), strict=True):
        assert tuple(chat.tokens) == tokens[:length]
    assert computed == [(ONE, rules)]
    come((*rules, 1), (*rules, 2), policy=TWO)
    assert computed[1:] == [(TWO, rules)]
    others = [tuple(range(1000 * i, 1000 * i + 50)) for i in range(1, 2 * MAX_PREFIXES)]
    come(*others)
    assert len(computed) == 2 + MAX_PREFIXES - 1  # of each policy so many are kept
