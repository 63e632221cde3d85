"""Trees of episodes and alternatives to them: who is asked what, what is replayed, and what trains."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

from detente import config
from detente.errors import UserError
from detente.games import make
from detente.learning import loop
from detente.learning.alternatives import alternative_rewards, rewards_of
from detente.learning.branch_values import branch_advantages
from detente.learning.branches import alternatives, by_place, check_branches, played, starts
from detente.learning.credit import Group, advantages_of
from detente.matches import Named, Scripts, play
from detente.records import Completion, Episode, PolicyRef, Round, Seating, Turn, read_episodes

SCRIPT = PolicyRef("script", "random")
STREAM = Named(("games",), ("players",))


def options(*overrides: str, game: str = "ipd") -> config.Config:
    return config.load_game(game, ["device=cpu", *overrides])


def seatings(episodes: int, group_size: int, players: int = 2, learners: Sequence[str | None] = ("main", "main")) -> list[Seating]:
    return [
        Seating((SCRIPT,) * players, tuple(learners), iteration=1, group=index // group_size, index=index)
        for index in range(episodes)
    ]


def rollout(chosen: config.Config, game: Any, seated: Sequence[Seating], watch: Callable[[Episode], None]) -> list[Episode]:
    def asked(seatings: Sequence[Seating], *, watch: Callable[[Episode], None] | None = None) -> Any:
        return play(Scripts(game), game, seatings, stream=STREAM, watch=watch)

    return asyncio.run(played(chosen, seated, asked, watch))


def answers(episodes: Sequence[Episode]) -> int:
    """How many were asked for."""
    return sum(not turn.replayed for episode in episodes for turn in episode.turns())


# ---- trees


def test_the_episodes_of_a_tree_share_their_beginnings() -> None:
    watched: list[Episode] = []
    game = make("ipd", rounds=3)
    episodes = rollout(options("tree=[2,3]", "group_size=6", "episodes=12"), game, seatings(12, 6), watched.append)
    assert [episode.index for episode in episodes] == list(range(12))
    assert sorted(episode.index for episode in watched) == list(range(12))
    for group in (episodes[:6], episodes[6:]):
        for number, episode in enumerate(group):
            parent = group[number - number % 3]
            assert [t.action for t in episode.rounds[0].turns] == [t.action for t in parent.rounds[0].turns]
            assert [any(t.replayed for t in r.turns) for r in episode.rounds] == [episode is not parent, False, False]
    assert answers(episodes) == 2 * (6 * 6 - 4 * 2)
    seeds = Counter(turn.completion.seed for episode in episodes for turn in episode.turns() if not turn.replayed)
    assert set(seeds.values()) == {1}  # nobody answers twice with the same random numbers


def test_without_a_tree_the_episodes_are_what_they_were() -> None:
    game, seated = make("ipd", rounds=3), seatings(8, 4)
    plain = asyncio.run(play(Scripts(game), game, seated, stream=STREAM))
    assert rollout(options("group_size=4", "episodes=8"), game, seated, print) == plain


# ---- alternatives


def test_alternatives_begin_before_each_round_and_train_nobody() -> None:
    watched: list[Episode] = []
    game = make("ipd", rounds=4)
    chosen = options("credit.baseline=branches", "credit.alternatives=3", "credit.depth=2", "group_size=1", "episodes=2")
    episodes = rollout(chosen, game, seatings(2, 1), watched.append)
    own, others = episodes[:2], episodes[2:]
    assert sorted(episode.index for episode in watched) == [0, 1]
    assert [episode.index for episode in others] == list(range(2, 26))  # 2 episodes, 4 rounds, 3 alternatives to each
    assert {(e.learners, e.iteration) for e in others} == {((None, None), 1)}
    for other in others:
        source = own[other.alternative_to or 0]
        begun = sum(all(turn.replayed for turn in r.turns) for r in other.rounds)
        assert (other.seed, other.group) == (source.seed, source.group)
        assert len(other.rounds) == min(4, begun + 2)
        assert [r.rewards for r in other.rounds[:begun]] == [r.rewards for r in source.rounds[:begun]]
        assert not any(turn.replayed for r in other.rounds[begun:] for turn in r.turns)
    assert answers(others) == 2 * 3 * 2 * (2 + 2 + 2 + 1)  # k alternatives, depth rounds of two answers, cut off at the end


def test_only_learners_with_that_baseline_have_alternatives() -> None:
    seats = ("seats=[main,other]", "learners.other.credit.baseline=branches", "learners.other.credit.alternatives=2")
    chosen, game = options(*seats, "group_size=1", "credit.baseline=none"), make("ipd", rounds=3)
    (mine,) = seatings(1, 1, learners=("main", None))
    (theirs,) = seatings(1, 1, learners=(None, "other"))
    episode = asyncio.run(play(Scripts(game), game, [mine], stream=STREAM))[0]
    assert alternatives(chosen, [mine], [episode]) == []
    assert len(alternatives(chosen, [theirs], [replace(episode, learners=(None, "other"))])) == 2 * 3


def turn(player: int) -> Turn:
    return Turn(player, "", "C", True, Completion("", SCRIPT))


def test_they_leave_an_episode_where_the_seat_first_answers() -> None:
    """Round 0: seat 1 speaks, then both decide. Round 1: seat 0 speaks, then seat 1, then both decide. Round 2: seat 1 alone."""
    rounds = [((1,), (0, 1)), ((0,), (1,), (0, 1)), ((1,),)]
    made = tuple(Round(tuple(turn(p) for step in steps for p in step), (0.0, 0.0), {}, tuple(map(len, steps))) for steps in rounds)
    episode = Episode({"name": "ipd"}, 0, (SCRIPT, SCRIPT), made, ("main", "main"))
    assert starts(episode, 0) == [1, 3, 7]
    assert starts(episode, 1) == [0, 4, 7]
    chosen = options("credit.baseline=branches", "credit.alternatives=1", "group_size=1", "episodes=1")
    seated = Seating((SCRIPT, SCRIPT), ("main", "main"))
    assert [len(other.replay) for other in alternatives(chosen, [seated], [episode])] == [0, 1, 3, 4, 7]


def test_what_alternatives_earn_by_hand() -> None:
    def episode(*rewards: tuple[float, float], replayed: int = 0, source: int | None = None, index: int = 5) -> Episode:
        rounds = tuple(
            Round((replace(turn(0), replayed=t < replayed), replace(turn(1), replayed=t < replayed)), r, {}, (2,))
            for t, r in enumerate(rewards)
        )
        learners = ("main", None) if source is None else (None, None)
        return Episode({}, 0, (SCRIPT, SCRIPT), rounds, learners, 1, 0, index, alternative_to=source)

    own = episode((1, 0), (2, 0))
    others = [
        episode((3, 4), (5, 6), source=5),
        episode((7, 8), (9, 10), source=5),
        episode((1, 0), (11, 12), replayed=1, source=5),
        episode((1, 0), (13, 14), replayed=1, source=5),
        episode((0, 0), (0, 0), source=6),
    ]
    rewards = alternative_rewards(own, 0, 2.0, by_place([own, *others]))
    first = [[[1.5, 2], [2.5, 3]], [[3.5, 4], [4.5, 5]]]
    second = [[[5.5, 6], [0, 0]], [[6.5, 7], [0, 0]]]
    assert rewards is not None
    assert rewards.tolist() == [first, second]  # (T, A, D, P)
    assert alternative_rewards(own, 0, 2.0, by_place([own, *others[:2]])) is None
    assert alternative_rewards(own, 0, 2.0, by_place([own])) is None


def test_an_episode_that_lasts_longer_than_its_alternatives_keeps_its_return() -> None:
    """Two rounds, rewards 1 and 2, and alternatives that end in their first round, with 1 and with 2: 1 + .9 * 2 - 1 and 2 - 2."""
    rounds = [Round((turn(0),), (points,), {}, (1,)) for points in (1.0, 2.0)]
    own = Episode({}, 0, (SCRIPT,), tuple(rounds), ("main",))
    sooner = replace(own, rounds=(rounds[0],), learners=(None,), alternative_to=0)
    replayed = replace(rounds[0], turns=(replace(turn(0), replayed=True),))
    places = by_place([own, sooner, replace(sooner, rounds=(replayed, rounds[1]))])
    for depth, advantages in {None: [1.8, 0], 1: [0, 0], 2: [1.8, 0], 9: [1.8, 0]}.items():
        given = alternative_rewards(own, 0, 1.0, places, depth)
        assert given is not None
        assert branch_advantages(rewards_of(own, 1.0)[:, 0], given[..., 0], 0.9).tolist() == pytest.approx(advantages)


def test_advantages_are_q_less_v_on_the_average() -> None:
    """A random player against tit-for-tat for two rounds, payoffs 3, 0, 5, 1, discount a half.

    Round 1 after C: 3 or 5, V = 4, and the other gets 3 or 0, V = 1.5; after D: 0 or 1, V = .5, the other 5 or 1, V = 3.
    Round 0: C 3 + 4/2 = 5 and D 5 + .5/2 = 5.25, V = 5.125; the other 3 + 1.5/2 = 3.75 and 0 + 3/2 = 1.5, V = 2.625.
    """
    expected = {
        (): {"C": (-0.125, 1.125), "D": (0.125, -1.125)},
        ("C",): {"C": (-1.0, 1.5), "D": (1.0, -1.5)},
        ("D",): {"C": (-0.5, 2.0), "D": (0.5, -2.0)},
    }
    count, game = 300, make("ipd", rounds=2)
    chosen = options("credit.baseline=branches", "credit.alternatives=4", "group_size=1", f"episodes={count}", "game.rounds=2")
    sits = (SCRIPT, PolicyRef("script", "tit_for_tat"))
    seated = [Seating(sits, ("main", None), iteration=1, group=index, index=index) for index in range(count)]
    episodes = rollout(chosen, game, seated, lambda episode: None)
    places, seen = by_place(episodes), defaultdict(list)
    for episode in episodes[:count]:
        given = alternative_rewards(episode, 0, 1.0, places)
        assert given is not None
        group = Group(rewards_of(episode, 1.0)[None, None], 0, alternatives=given[None, None])
        mine = advantages_of(group.own, chosen.credit.model_copy(update={"gamma": 0.5}), None, given[None, None, ..., 0])[0, 0]
        others = advantages_of(group.others, chosen.credit.model_copy(update={"gamma": 0.5}), None, given[None, None, ..., 1])[0, 0]
        moves = [next(t.action for t in r.turns if t.player == 0) for r in episode.rounds]
        for number, move in enumerate(moves):
            seen[tuple(moves[:number]), move].append(torch.stack([mine[number], others[number]]))
    for past, by_move in expected.items():
        for move, advantages in by_move.items():
            sample = torch.stack(seen[past, move])
            error = 4 * sample.std(0) / len(sample) ** 0.5
            assert ((sample.mean(0) - torch.tensor(advantages)).abs() < error + 1e-9).all(), (past, move, sample.mean(0), error)


# ---- trained


def trained(tiny_model: str, folder: Path, *overrides: str) -> Path:
    quick = "iterations=1 lora.rank=2 evaluation.episodes=0 game.rounds=2 algorithm=advantage_alignment opponents.kept=0"
    return loop.train(options(f"model={tiny_model}", *quick.split(), *overrides), folder)


def test_a_run_with_alternatives_keeps_them_apart_and_goes_on_as_if_it_had_not_stopped(tiny_model: str, tmp_path: Path) -> None:
    chosen = ("credit.baseline=branches", "credit.alternatives=2", "group_size=1", "episodes=2", "record.checkpoint_every=1")
    whole = trained(tiny_model, tmp_path / "whole", *chosen, "iterations=2")
    stopped = trained(tiny_model, tmp_path / "stopped", *chosen)
    trained(tiny_model, tmp_path / "stopped", *chosen, "iterations=2")
    for name in ("adapters/main/000002/adapter_model.safetensors", "alternatives/000002.jsonl.gz", "episodes/000002.jsonl.gz"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    own, others = (read_episodes(whole / place / "000001.jsonl.gz") for place in ("episodes", "alternatives"))
    assert (len(own), len(others)) == (2, 2 * 2 * 2)
    assert {episode.alternative_to for episode in own} == {None}
    assert {episode.alternative_to for episode in others} == {0, 1}
    metrics = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert metrics[0]["reward/main"] == mean(episode.mean_reward(seat) for episode in own for seat in range(2))
    assert metrics[0]["credit/main/std"] > 0


def test_a_run_of_trees_trains_each_answer_once(tiny_model: str, tmp_path: Path) -> None:
    run = trained(tiny_model, tmp_path / "run", "tree=[2,2]", "group_size=4", "episodes=4", "record.audit_turns=4")
    episodes = read_episodes(run / "episodes" / "000001.jsonl.gz")
    (metrics,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    asked = [turn for episode in episodes for turn in episode.turns() if not turn.replayed]
    assert len(asked) == 2 * (2 + 4)
    assert metrics["tokens/main/generated"] == sum(len(turn.completion.tokens) for turn in asked)
    assert metrics["mismatch/max_abs"] < 1e-3  # scored again without the engine's cache, chats as they were continued
    assert not (run / "alternatives").exists()


# ---- what does not fit


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["tree=[3,3]"], "tree=[3, 3] makes 9 episodes, and group_size is 8; make them the same."),
        (["tree=[2,2,2]", "game.rounds=2"], "tree=[2, 2, 2] branches at 3 steps, and an episode of ipd may have 2; name fewer."),
        (
            ["tree=[2,4]", "opponents.scripted=0.5", "opponents.scripts=[random]"],
            "Episodes of a tree begin alike, so they need the same opponents; set opponents.draw=group.",
        ),
        (["tree=[8]", "learners.main.briefing=last"], "briefing=none, or leave out tree."),
        (["tree=[8]", "executor=ray"], "tree plays episodes that begin with others"),
        (["credit.baseline=branches", "executor=ray"], "credit.baseline=branches plays episodes that begin with others"),
        (["credit.baseline=branches", "learners.main.collect=all"], "set collect=last for the learner 'main'."),
        (
            ["credit.baseline=branches", "seats=[main,other]", "learners.other.credit.depth=3"],
            "Learners that share alternatives need the same credit.alternatives and credit.depth",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(overrides: list[str], sentence: str) -> None:
    chosen = options("algorithm=reinforce", *overrides)
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_branches(chosen, make(**chosen.game))


def test_a_group_may_be_one_episode_unless_a_weight_compares_several() -> None:
    assert options("credit.baseline=branches", "group_size=1", "episodes=1").group_size == 1
    with pytest.raises(UserError, match="A leave-one-out baseline needs 2 episodes"):
        options("credit.baseline=branches", "credit.shaping=causal", "algorithm=advantage_alignment", "group_size=1", "episodes=1")
