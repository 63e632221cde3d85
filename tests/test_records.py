"""Records go to JSON and back unchanged."""

from __future__ import annotations

import dataclasses
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from detente.records import Completion, Episode, PolicyRef, Round, Turn, episode_writer, read_episodes, write_episodes

ODD = ("", "<A>", 'a "quoted" \\ line\nbreak\r\n', "\u2028\u2029\x85\x00", "🗝 ключ 鍵", "{}", "null")


def random_completion(rng: random.Random) -> Completion:
    n = rng.randrange(6)
    return Completion(
        text=rng.choice(ODD),
        policy=PolicyRef(rng.choice(["adapter", "base", "script", "human", "remote"]), rng.choice(ODD), rng.randrange(9)),
        seed=rng.getrandbits(63),
        prompt_tokens=tuple(rng.randrange(2**17) for _ in range(n)),
        tokens=tuple(rng.randrange(2**17) for _ in range(n)),
        logprobs=tuple(-rng.expovariate(1) for _ in range(n)),
        pattern=rng.choice([None, "<A>|<B>", r"[\s\S]{0,400}"]),
        probabilities=tuple(rng.random() for _ in range(n)),
        attempts=rng.randint(1, 4),
    )


def random_episode(rng: random.Random, players: int = 3) -> Episode:
    actions = ["C", 7, 0.1, ["a", 1], {"hats": 3, "note": None}]
    rounds = []
    for t in range(rng.randint(1, 4)):
        turns = tuple(
            Turn(p, rng.choice(ODD), rng.choice(actions), rng.random() < 0.5, random_completion(rng)) for p in range(players)
        )
        steps = rng.choice([(), (players,), (1, players - 1)])
        info = {"round": t, "hands": ["rock", "paper"]}
        rounds.append(Round(turns, tuple(rng.uniform(-9, 9) for _ in range(players)), info, steps))
    return Episode(
        game={"name": "ipd", "payoffs": [[3, 0], [5, 1]], "continuation": None},
        seed=rng.getrandbits(63),
        policies=tuple(random_completion(rng).policy for _ in range(players)),
        rounds=tuple(rounds),
        learners=("main", None, "other"),
        iteration=rng.randrange(100),
        group=rng.randrange(8),
        index=rng.randrange(64),
    )


@pytest.mark.parametrize("seed", range(20))
def test_json_round_trip(seed: int, tmp_path: Path) -> None:
    episodes = [random_episode(random.Random(f"{seed} {i}")) for i in range(3)]
    assert [Episode.from_json(e.to_json()) for e in episodes] == episodes
    write_episodes(tmp_path / "deep" / "000001.jsonl", episodes)
    assert read_episodes(tmp_path / "deep" / "000001.jsonl") == episodes


def test_one_line_of_plain_json_per_episode(tmp_path: Path) -> None:
    episode = random_episode(random.Random(0))
    write_episodes(tmp_path / "x.jsonl", [episode, episode])
    lines = (tmp_path / "x.jsonl").read_text(encoding="utf-8").split("\n")
    assert lines[2:] == [""]
    data = json.loads(lines[0])
    assert data["rounds"][0]["rewards"] == list(episode.rounds[0].rewards)
    assert data["rounds"][0]["turns"][1]["completion"]["tokens"] == list(episode.rounds[0].turns[1].completion.tokens)
    assert data["policies"][2]["version"] == episode.policies[2].version


def test_episodes_are_written_in_order_as_they_finish(tmp_path: Path) -> None:
    first, second, third = (dataclasses.replace(random_episode(random.Random(i)), index=i) for i in range(3))
    path = tmp_path / "deep" / "x.jsonl"
    with episode_writer(path) as take:
        assert not path.exists()
        take(first)
        assert read_episodes(path) == [first]
        take(third)
        assert read_episodes(path) == [first]
        take(second)
        assert read_episodes(path) == [first, second, third]


def test_finished_episodes_are_written_whatever_stops_the_others(tmp_path: Path) -> None:
    later = [dataclasses.replace(random_episode(random.Random(i)), index=i) for i in (4, 2)]
    path = tmp_path / "x.jsonl"
    path.write_text("of another day\n")
    with suppress(KeyboardInterrupt), episode_writer(path) as take:
        for episode in later:
            take(episode)
        raise KeyboardInterrupt
    assert read_episodes(path) == [later[1], later[0]]


def test_without_an_episode_the_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("of another day\n")
    with episode_writer(path):
        pass
    assert path.read_text() == "of another day\n"


def test_records_are_frozen() -> None:
    episode = random_episode(random.Random(0))
    for record in (episode, episode.rounds[0], episode.rounds[0].turns[0], episode.policies[0]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, dataclasses.fields(record)[0].name, None)


def test_rewards_and_turns_of_a_player() -> None:
    def turn(player: Any, action: Any) -> Any:
        return Turn(player, "", action, True, Completion("", PolicyRef("script", "x")))

    rounds = (Round((turn(0, "a"), turn(1, "b")), (1.0, -2.0), {}), Round((turn(1, "c"), turn(0, "d")), (4.0, 0.5), {}))
    episode = Episode({"name": "g"}, 0, (PolicyRef("script", "x"),) * 2, rounds)
    assert episode.num_players == 2
    assert episode.rewards(1) == [-2.0, 0.5]
    assert (episode.mean_reward(0), episode.mean_reward(1)) == (2.5, -0.75)
    assert [t.action for t in episode.turns()] == ["a", "b", "c", "d"]
    assert [t.action for t in episode.turns(0)] == ["a", "d"]


def test_a_policy_says_its_version_where_it_has_one() -> None:
    assert str(PolicyRef("adapter", "main", 40)) == "main@40"
    assert str(PolicyRef("script", "tit_for_tat")) == "tit_for_tat"


def line(**changes: Any) -> Any:
    """An episode as it stands in a file."""
    return orjson.loads(random_episode(random.Random(3)).to_json()) | changes


def test_lines_of_the_first_format_are_read() -> None:
    old = line()
    del old["format"]
    for played in old["rounds"]:
        del played["steps"]
    episode = Episode.from_json(orjson.dumps(old))
    assert [played.steps for played in episode.rounds] == [()] * len(episode.rounds)
    assert [turn.player for step in episode.rounds[0].by_step() for turn in step] == [0, 1, 2]


def test_turns_of_before_there_were_topics_have_none() -> None:
    old = line(format=3)
    for played in old["rounds"]:
        for turn in played["turns"]:
            del turn["topic"]
    assert {turn.topic for turn in Episode.from_json(orjson.dumps(old)).turns()} == {""}


def test_lines_of_before_there_were_replayed_turns_have_none() -> None:
    old = line(format=4)
    del old["alternative_to"]
    for played in old["rounds"]:
        for turn in played["turns"]:
            del turn["replayed"]
    episode = Episode.from_json(orjson.dumps(old))
    assert episode.alternative_to is None
    assert {turn.replayed for turn in episode.turns()} == {False}


def test_a_line_of_a_later_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format: 99 is none that this version of detente knows"):
        Episode.from_json(orjson.dumps(line(format=99)))


@pytest.mark.parametrize("steps", [[1], [3, 1], [0, 3], [-1, 4]])
def test_steps_that_are_not_those_of_the_turns_are_refused(steps: list[int]) -> None:
    rounds = [played | {"steps": steps} for played in line()["rounds"]]
    with pytest.raises(ValueError, match="steps"):
        Episode.from_json(orjson.dumps(line(rounds=rounds)))


def test_turns_by_step() -> None:
    def turns(*players: Any) -> Any:
        return tuple(Turn(player, "", "", True, Completion("", PolicyRef("script", "x"))) for player in players)

    def by_step(players: Any, steps: Any = ()) -> Any:
        return [[turn.player for turn in step] for step in Round(turns(*players), (0.0, 0.0), {}, steps).by_step()]

    assert by_step([0, 1, 0, 1], (2, 2)) == [[0, 1], [0, 1]]
    assert by_step([0, 1], (1, 1)) == [[0], [1]]
    # where nobody wrote it down: the last turns at once, if every player has one
    assert by_step([0, 1, 0, 1]) == [[0], [1], [0, 1]]
    assert by_step([0, 1, 1]) == [[0], [1], [1]]
