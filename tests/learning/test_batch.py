"""From episodes to tensors, on episodes written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from detente.engines.grammar import Grammar
from detente.errors import UserError
from detente.learning.batch import single_turn, trajectories, trajectory, with_credit
from detente.learning.credit import Group, leave_one_out
from detente.learning.micro_batches import micro_batches, passes_without_stems
from detente.records import Completion, Episode, PolicyRef, Round, Turn

MAIN, SCRIPT = PolicyRef("adapter", "main", 3), PolicyRef("script", "tit_for_tat")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer(tiny_model: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def grammar(tokenizer: Any) -> Any:
    return Grammar(tokenizer, len(tokenizer) + 3, [tokenizer.eos_token_id])


def turn(
    player: Any, prompt: Any, tokens: Any, pattern: Any = None, policy: Any = MAIN, logprobs: Any = None, phase: str = "decision"
) -> Any:
    logprobs = tuple(-0.1 * (i + 1) for i in range(len(tokens))) if logprobs is None else logprobs
    completion = Completion("", policy, 0, tuple(prompt), tuple(tokens), logprobs, pattern)
    return Turn(player, "", "C", True, completion, phase)  # type: ignore[arg-type]


def episode(rounds: Any, learners: Any = ("main", None), group: int = 0, rewards: Any = None) -> Any:
    rewards = rewards or [(float(t), 10.0 + t) for t in range(len(rounds))]
    made = tuple(Round(tuple(turns), r, {}) for turns, r in zip(rounds, rewards, strict=True))
    return Episode({"name": "ipd"}, 0, (MAIN, SCRIPT), made, learners, group=group)


def test_replayed_turns_are_part_of_the_chat_and_train_nobody(grammar: Any) -> None:
    turns = [turn(0, (50, 51), (60, 61), phase="message"), turn(0, (52,), (62, 63)), turn(0, (53,), (64,))]
    turns[:2] = [replace(replayed, replayed=True) for replayed in turns[:2]]
    chat = trajectory(episode([[played, turn(1, (), (), policy=SCRIPT)] for played in turns]), 0, 1.0, grammar)
    assert chat.tokens.tolist() == [50, 51, 60, 61, 52, 62, 63, 53, 64]
    assert (chat.drawn.tolist(), chat.rounds.tolist(), chat.logprobs.tolist()) == ([8], [2], [-0.1])
    assert (chat.generated, chat.spoken) == (1, 0)
    assert chat.starts.tolist() == [1, 4, 7]
    assert chat.observed.tolist() == [7]


def test_a_trajectory_by_hand(tokenizer: Any, grammar: Any) -> None:
    """Round 0: a message (free) and a decision (constrained) of seat 0; round 1: seat 0 is silent; round 2: a decision."""
    digits = tokenizer.encode("12345", add_special_tokens=False)
    end = tokenizer.eos_token_id
    chat = episode(
        [
            [
                turn(0, (50, 51, 52), (60, 61), phase="message"),
                turn(1, (), (), policy=SCRIPT),
                turn(0, (53,), (*digits[:4], end), "1234(5)?", logprobs=(0, 0, 0, 0, -0.7)),
            ],
            [turn(1, (), (), policy=SCRIPT)],
            [turn(0, (54, 55), (digits[4],), "4|5", logprobs=(-0.3,)), turn(1, (), (), policy=SCRIPT)],
        ]
    )
    one = trajectory(chat, 0, 2.0, grammar)
    assert one.tokens.tolist() == [50, 51, 52, 60, 61, 53, *digits[:4], end, 54, 55, digits[4]]
    # of the decision 1234(5)? only the last token was drawn: the four digits are forced
    assert one.drawn.tolist() == [3, 4, 10, 13]
    assert one.rounds.tolist() == [0, 0, 0, 2]
    assert one.logprobs.tolist() == [-0.1, -0.2, -0.7, -0.3]
    assert one.generated == 2 + 5 + 1
    assert one.spoken == 2
    assert one.starts.tolist() == [2, 10, 12]  # the position before the first answer; in round 1 that of the last token so far
    assert one.observed.tolist() == [5, 11, 12]  # not the first observation, 50 51 52
    assert one.own.tolist() == [0.0, 0.5, 1.0]
    assert one.rewards.tolist() == [[0.0, 5.0], [0.5, 5.5], [1.0, 6.0]]
    assert one.actions == (("C", "C"), (None, "C"), ("C", "C"))  # a message is no decision
    (micro,) = micro_batches([one], 1000, CPU)
    size = len(tokenizer) + 3
    allowed = micro.allowed(slice(0, size))
    assert torch.equal(micro.allowed(slice(0, size), slice(2, 3)), allowed[2:3])
    assert torch.equal(micro.allowed(slice(16, 37), slice(1, 4)), allowed[1:4, 16:37])
    assert allowed.shape == (4, size)
    assert (allowed[:2].sum(-1) == len(tokenizer)).all()  # every token that there is, no row that has none
    assert allowed[2].nonzero()[:, 0].tolist() == sorted([digits[4], end])
    assert allowed[3].nonzero()[:, 0].tolist() == sorted([digits[3], digits[4]])


def test_groups_of_different_iterations_are_not_compared(grammar: Any) -> None:
    chats = [
        replace(episode([[turn(0, (5,), (6, 7))]], rewards=[(r, 0.0)]), iteration=i)
        for i, r in ((1, 1.0), (2, 5.0), (1, 2.0), (2, 9.0))
    ]
    found = trajectories(chats, "main", 1.0, grammar)

    def less_the_mean(group: Any) -> Any:
        return group.own - group.own.mean(1, keepdim=True)

    assert [float(one.credit) for one in with_credit(found, less_the_mean, None)] == [-0.5, -2.0, 0.5, 2.0]  # type: ignore[arg-type]
    assert [float(one.credit) for one in with_credit(found, less_the_mean, None, batch=True)] == [-3.25, 0.75, -2.25, 4.75]  # type: ignore[arg-type]


def test_free_answers_need_no_mask_where_every_row_has_a_token(tokenizer: Any) -> None:
    whole = Grammar(tokenizer, len(tokenizer), [tokenizer.eos_token_id])
    one = trajectory(episode([[turn(0, (5,), (6, 7))]]), 0, 1.0, whole)
    assert one.allowed is None
    (micro,) = micro_batches([one], 1000, CPU)
    assert micro.masks is None


def test_only_seats_that_train_make_trajectories(grammar: Any) -> None:
    free = [[turn(0, (5,), (6,)), turn(1, (8,), (9,))]]
    episodes = [
        episode(free, ("main", None)),
        episode(free, (None, "main")),
        episode(free, ("main", "main")),
        episode(free, ("x", "y")),
    ]
    found = trajectories(episodes, "main", 1.0, grammar)
    assert [(one.seat, one.tokens.tolist()) for one in found] == [(0, [5, 6]), (1, [8, 9]), (0, [5, 6]), (1, [8, 9])]
    assert [one.seat for one in trajectories(episodes, "y", 1.0, grammar)] == [1]


def test_a_seat_without_tokens(grammar: Any) -> None:
    one = trajectory(episode([[turn(1, (), (), policy=SCRIPT)]] * 2), 0, 1.0, grammar)
    assert (len(one.tokens), len(one.drawn), one.generated) == (0, 0, 0)
    assert one.starts.tolist() == [0, 0]


def test_single_turn_is_the_chat_up_to_a_turn(tokenizer: Any, grammar: Any) -> None:
    four = tokenizer.encode("4", add_special_tokens=False)
    rounds = [
        [turn(0, (50,), (60, 61)), turn(1, (70,), (71,))],
        [turn(1, (72,), (73,)), turn(0, (51,), four, "4|5", logprobs=(-0.6,))],
    ]
    chat = episode(rounds)
    one = single_turn(chat, rounds[1][1], grammar)
    assert one.tokens.tolist() == [50, 60, 61, 51, *four]
    assert one.drawn.tolist() == [4]
    assert one.logprobs.tolist() == [-0.6]
    assert single_turn(chat, rounds[0][1], grammar).tokens.tolist() == [70, 71]


# ---- credit, group by group


def lone(group: Any, seat: Any, own: Any, others: Any = None, tokens: int = 2) -> Any:
    own = torch.tensor(own, dtype=torch.float64)
    made = trajectory(episode([[turn(0, (5,), (6,) * tokens)]] * len(own)), 0, 1.0, Plain())  # type: ignore[arg-type]
    others = own if others is None else torch.tensor(others)
    return replace(made, group=group, seat=seat, rewards=torch.stack([own, others] if seat == 0 else [others, own], 1))


class Plain:
    vocab_size, unguided = 16, None


def minus_mean_of_others(group: Any) -> Any:
    assert group.values is None
    return leave_one_out(group.own)


def test_groups_are_seats_that_share_a_game_seed() -> None:
    found = [
        lone(0, 0, [1.0, 2]),
        lone(0, 1, [10.0, 0]),
        lone(1, 0, [5.0]),
        lone(0, 0, [3.0, 6]),
        lone(1, 0, [1.0]),
        lone(0, 1, [0.0, 0]),
    ]
    credited = with_credit(found, minus_mean_of_others, None)
    assert [one.credit.tolist() for one in credited] == [[-2, -4], [10, 0], [4], [2, 4], [-4], [-10, 0]]
    assert [(one.group, one.seat) for one in credited] == [(one.group, one.seat) for one in found]


def test_an_algorithm_sees_the_rewards_and_actions_of_all_players() -> None:
    """Three players; in round 1 the second decides twice and the third not at all."""

    def act(player: int, action: object, phase: str = "decision") -> Turn:
        return replace(turn(player, (5,), (6, 7), phase=phase), action=action)

    def match(first: str) -> Episode:
        rounds = (
            Round((act(0, "hello", "message"), act(0, first), act(1, {"give": 2}), act(2, 3)), (1.0, 2.0, 4.0), {}),
            Round((act(1, "C"), act(0, "D"), act(1, [1, 0])), (8.0, 16.0, 32.0), {}),
        )
        return Episode({"name": "x"}, 0, (MAIN, SCRIPT, MAIN), rounds, ("main", None, "main"))

    seen: list[Group] = []

    def assign(group: Group) -> torch.Tensor:
        seen.append(group)
        return group.own

    found = trajectories([match("C"), match("D")], "main", 2.0, Plain())  # type: ignore[arg-type]
    with_credit(found, assign, None)
    assert [group.seat for group in seen] == [0, 2]
    for group in seen:
        assert group.rewards.tolist() == [[[[0.5, 1.0, 2.0], [4.0, 8.0, 16.0]]] * 2]
        assert group.actions == (tuple(((first, {"give": 2}, 3), ("D", ("C", [1, 0]), None)) for first in "CD"),)
    assert seen[1].own.tolist() == [[[2.0, 16.0]] * 2]
    assert seen[1].others.tolist() == [[[1.5, 12.0]] * 2]


def test_the_whole_batch_as_one_group() -> None:
    found = [lone(0, 0, [1.0]), lone(1, 0, [2.0]), lone(2, 0, [6.0]), lone(0, 1, [1.0]), lone(1, 1, [4.0])]
    credited = with_credit(found, minus_mean_of_others, None, batch=True)
    assert [one.credit.item() for one in credited] == [-3, -1.5, 4.5, -3, 3]
    with pytest.raises(UserError, match="equal length"):
        with_credit([lone(0, 0, [1.0]), lone(1, 0, [2.0, 3.0])], minus_mean_of_others, None, batch=True)


def test_episodes_that_begin_alike_and_end_differently_make_no_group() -> None:
    found = [lone(0, 0, [1.0]), lone(0, 0, [2.0, 3.0])]
    with pytest.raises(UserError, match=r"last from 1 to 2 rounds.*set credit\.baseline=branches and group_size=1"):
        with_credit(found, minus_mean_of_others, None)


def test_who_is_alone_is_left_out_unless_nothing_is_compared() -> None:
    found = [lone(0, 0, [1.0]), lone(0, 1, [2.0]), lone(0, 1, [4.0])]
    assert [one.seat for one in with_credit(found, minus_mean_of_others, None)] == [1, 1]
    plain = with_credit(found, lambda group: group.own, None, fewest=1)
    assert [one.credit.item() for one in plain] == [1, 2, 4]


def test_values_go_with_their_trajectories() -> None:
    found = [lone(0, 0, [1.0]), lone(0, 1, [2.0]), lone(0, 0, [4.0]), lone(0, 1, [8.0])]
    values = [torch.tensor([10.0 * i]) for i in range(4)]
    credited = with_credit(found, lambda group: group.own + group.values, values)  # type: ignore[operator]
    assert [one.credit.item() for one in credited] == [1, 12, 24, 38]


# ---- micro-batches


def test_micro_batches_hold_every_drawn_token_once() -> None:
    rng = np.random.default_rng(0)
    found = [
        replace(lone(0, 0, [1.0], tokens=int(n)), credit=torch.tensor([float(i)]), tokens=np.append(5, rng.integers(0, 3, n)))
        for i, n in enumerate(rng.integers(1, 30, 25))
    ]
    for limit in (1, 40, 100, 10_000):
        micros = list(micro_batches(found, limit, CPU))
        assert sorted(i for micro in micros for i in micro.members) == list(range(25))
        for micro in micros:
            assert len(micro.tokens) <= limit or len(micro.members) == 1
            ends = np.cumsum([len(found[i].drawn) for i in micro.members])
            for i, places, end in zip(micro.members, micro.places, ends, strict=True):
                here = slice(end - len(found[i].drawn), end)
                chat = micro.tokens[torch.from_numpy(places)]
                assert chat.tolist() == found[i].tokens[: len(chat)].tolist()
                assert chat.tolist() == found[i].tokens[:-1].tolist()  # the last token is drawn, and predicts nothing
                assert micro.positions[torch.from_numpy(places)].tolist() == list(range(len(chat)))
                assert micro.before[here].tolist() == places[found[i].drawn - 1].tolist()
                assert micro.targets[here].tolist() == found[i].tokens[found[i].drawn].tolist()
                assert micro.engine_logprobs[here].tolist() == pytest.approx(found[i].logprobs.tolist())
                assert set(micro.credit[here].tolist()) == {float(i)}
    assert len(list(micro_batches(found, 10_000, CPU))) == 1
    assert len(list(micro_batches(found, 1, CPU))) > 20  # a chat that adds nothing stays with the one before it


def test_an_observed_token_counts_for_every_chat_that_has_it() -> None:
    """Two chats share 5 6 | 7 8 | 9, of which 7 8 was observed; then one is told 3, before a forced 1, and the other 4."""
    chats = [lone(0, 0, [1.0])] * 2
    tokens = [np.array([5, 6, 7, 8, 9, 3, 1]), np.array([5, 6, 7, 8, 9, 4, 2])]
    observed, first = np.array([2, 3, 5]), np.array([1, 4])
    drawn = [np.array([1, 4]), np.array([1, 4, 6])]
    found = [
        replace(chat, tokens=t, drawn=d, observed=observed, rounds=d * 0, logprobs=d * 0.0, starts=first[:1] - 1)
        for chat, t, d in zip(chats, tokens, drawn, strict=True)
    ]
    (micro,) = micro_batches(found, 1000, CPU, observed=True)
    assert micro.tokens.tolist() == [5, 6, 7, 8, 9, 4]  # 3 predicts nothing that trains
    seen = zip(micro.observed_before.tolist(), micro.observed_targets.tolist(), micro.observed_counts.tolist(), strict=True)
    assert sorted(seen) == [(1, 7, 2.0), (2, 8, 2.0), (4, 3, 1.0), (4, 4, 1.0)]
    passes = list(micro_batches(found, 1, CPU, observed=True))
    assert len(passes) == passes_without_stems(found, 1, observed=True) == 2
    assert [sorted(zip(m.observed_targets.tolist(), m.observed_counts.tolist(), strict=True)) for m in passes] == [
        [(3, 1.0), (7, 1.0), (8, 1.0)],
        [(4, 1.0), (7, 1.0), (8, 1.0)],
    ]
    (plain,) = micro_batches(found, 1000, CPU)
    assert len(plain.observed_targets) == 0
    late = replace(found[0], drawn=np.array([1]), rounds=np.array([0]), logprobs=np.array([0.0]))
    (micro,) = micro_batches([late], 1000, CPU, observed=True)  # up to the token before the last that was observed
    assert micro.tokens.tolist() == [5, 6, 7, 8, 9]


def test_credit_goes_to_the_tokens_of_its_round() -> None:
    one = replace(lone(0, 0, [1.0, 1.0, 1.0]), credit=torch.tensor([7.0, 8.0, 9.0]))
    (micro,) = micro_batches([one], 1000, CPU)
    assert micro.credit.tolist() == [7, 7, 8, 8, 9, 9]


def test_messages_and_asks_of_a_round_get_its_credit(tokenizer: Any, grammar: Any) -> None:
    """The first speaker alternates, so that seat 0 speaks before the other's message in round 0 and after it in round 1."""
    four = tokenizer.encode("4", add_special_tokens=False)

    def message(player: Any, prompt: Any, tokens: Any) -> Any:
        return turn(player, prompt, tokens, phase="message")

    def ask(player: Any, prompt: Any) -> Any:
        return turn(player, prompt, four, "4|5")

    rounds = [
        [message(0, (50, 51), (60, 61, 62)), message(1, (70,), (71,)), ask(0, (52,)), ask(1, (72,))],
        [message(1, (73,), (74,)), message(0, (53,), (63, 64)), ask(0, (54,)), ask(1, (75,))],
    ]
    one = trajectory(episode(rounds), 0, 1.0, grammar)
    assert (one.generated, one.spoken) == (3 + 1 + 2 + 1, 3 + 2)
    (micro,) = micro_batches([replace(one, credit=torch.tensor([7.0, -8.0]))], 1000, CPU)
    assert list(zip(micro.targets.tolist(), micro.credit.tolist(), strict=True)) == [
        *((token, 7.0) for token in (60, 61, 62, *four)),
        *((token, -8.0) for token in (63, 64, *four)),
    ]


def test_constrained_and_free_chats_in_one_batch(tokenizer: Any, grammar: Any) -> None:
    four = tokenizer.encode("4", add_special_tokens=False)
    constrained = trajectory(episode([[turn(0, (50,), four, "4|5")]]), 0, 1.0, grammar)
    free = trajectory(episode([[turn(0, (50, 51), (60, 61))]]), 0, 1.0, grammar)
    (micro,) = micro_batches([free, constrained], 1000, CPU)
    allowed = micro.allowed(slice(0, grammar.vocab_size))
    assert [int(n) for n in allowed.sum(-1)] == [2, len(tokenizer), len(tokenizer)]


def test_an_answer_whose_tokens_were_all_forced_trains_nothing(tokenizer: Any, grammar: Any) -> None:
    four = tokenizer.encode("4", add_special_tokens=False)
    forced = trajectory(episode([[turn(0, (50,), four, "44")]]), 0, 1.0, grammar)
    assert (forced.generated, forced.drawn.tolist(), forced.allowed) == (1, [], None)
    drawn = trajectory(episode([[turn(0, (50,), four, "4|5")]]), 0, 1.0, grammar)
    assert [micro.members for micro in micro_batches([forced, drawn], 1000, CPU)] == [(1,)]


def test_nothing_to_do() -> None:
    assert list(micro_batches([], 100, CPU)) == []
    assert with_credit([], minus_mean_of_others, None) == []
