"""Files of JSON lines: gzip to everybody else, the same bytes every time, and cut short like plain ones."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import subprocess
import zlib
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas
import pytest

import detente
from detente import jsonl
from detente.records import episode_writer, read_episodes, write_episodes

EPISODES = detente.play("trust_and_split", ["greedy", "reciprocator"], seed=1, episodes=40)
LINES = [episode.to_line() for episode in EPISODES]


def test_compressed_episodes_are_gzip_and_much_smaller(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    write_episodes(plain, EPISODES)
    write_episodes(packed, EPISODES)
    assert subprocess.run(["gzip", "--test", packed], check=False).returncode == 0
    assert (
        subprocess.run(["gzip", "--decompress", "--stdout", packed], capture_output=True, check=True).stdout == plain.read_bytes()
    )
    assert packed.stat().st_size * 8 < plain.stat().st_size
    assert read_episodes(packed) == read_episodes(plain) == EPISODES


def test_others_read_them_without_detente(tmp_path: Path) -> None:
    path = tmp_path / "000001.jsonl.gz"
    write_episodes(path, EPISODES)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rewards = [[played["rewards"] for played in json.loads(line)["rounds"]] for line in file]
    assert rewards == [[list(played.rewards) for played in episode.rounds] for episode in EPISODES]
    table = pandas.read_json(path, lines=True, dtype=False)
    assert table["index"].tolist() == [episode.index for episode in EPISODES]
    assert [[played["rewards"] for played in rounds] for rounds in table["rounds"]] == rewards


def test_the_bytes_depend_on_nothing_but_the_lines(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl.gz", tmp_path / "deep" / "other.jsonl.gz"
    write_episodes(one, EPISODES)
    os.utime(one, (1, 1))
    write_episodes(other, iter(EPISODES))
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes()[3:8] == bytes(5)  # RFC 1952: no name follows, and no time


def test_files_and_their_names(tmp_path: Path) -> None:
    for name in ("10.jsonl", "9.jsonl", "2-1.jsonl.gz", "2-10.jsonl", "twice.jsonl", "twice.jsonl.gz", "2-2.partial", "x.gz"):
        (tmp_path / name).touch()
    found = jsonl.files(tmp_path)
    assert [path.name for path in found] == ["10.jsonl", "2-1.jsonl.gz", "2-10.jsonl", "9.jsonl", "twice.jsonl"]
    assert [jsonl.name(path) for path in found] == ["10", "2-1", "2-10", "9", "twice"]
    assert [jsonl.file(tmp_path, name).name for name in ("2-1", "9", "new")] == ["2-1.jsonl.gz", "9.jsonl", "new.jsonl.gz"]
    assert [jsonl.is_jsonl(tmp_path / name) for name in ("a.jsonl", "a.jsonl.gz", "a.gz", "jsonl")] == [True, True, False, False]
    jsonl.remove(tmp_path / "twice.jsonl")
    jsonl.remove(tmp_path / "none.jsonl")
    assert "twice" not in map(jsonl.name, tmp_path.iterdir())
    assert jsonl.files(tmp_path / "none") == []


def readable(data: bytes) -> bytes:
    """What zlib itself makes of the beginning of a gzip file."""
    return zlib.decompressobj(wbits=31).decompress(data)


def test_cut_anywhere_it_reads_like_a_plain_file_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    jsonl.write(path, LINES)
    whole = path.read_bytes()
    assert len(whole) > 10_000
    for end in (*range(2, 40), *range(40, len(whole), 97), len(whole) - 9, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:end])
        with jsonl.opened(path) as file:
            assert b"".join(file) == readable(whole[:end])
            assert jsonl.was_cut(file)
    path.write_bytes(whole)
    with jsonl.opened(path) as file:
        assert list(file) == LINES
        assert not jsonl.was_cut(file)
        assert jsonl.place(file) == len(whole)


def test_a_place_in_the_text_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    jsonl.write(path, LINES)
    starts = [0, *accumulate(map(len, LINES))]
    for number in (39, 0, 7, 8):
        with jsonl.opened(path) as file:
            file.seek(starts[number])
            assert file.read(len(LINES[number])) == LINES[number]


@pytest.mark.parametrize("at", [20, 2000, -6])
def test_damage_is_an_error(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.jsonl.gz"
    jsonl.write(path, LINES)
    whole = bytearray(path.read_bytes())
    whole[at] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        list(jsonl.lines(path))


@pytest.mark.parametrize("line", [b"0" * 999 + b"\n", b"0" * 10_000_000], ids=["many lines", "one line"])
def test_a_small_file_cannot_fill_the_memory(tmp_path: Path, line: Any) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(100_000_000 // len(line)):
            file.write(line)
    assert path.stat().st_size < 1_000_000
    found = jsonl.lines(path, 1 << 20)
    within = [0, *accumulate(map(len, itertools.islice(found, (1 << 20) // len(line))))]
    assert within[-1] <= 1 << 20
    with pytest.raises(jsonl.TooMuchError, match="more than 1 MB"):
        next(found)


def test_just_enough_is_not_too_much(tmp_path: Path) -> None:
    for path in (tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"):
        jsonl.write(path, LINES)
        assert list(jsonl.lines(path, sum(map(len, LINES)))) == LINES
        with pytest.raises(jsonl.TooMuchError):
            list(jsonl.lines(path, sum(map(len, LINES)) - 1))


def test_episodes_that_are_written_one_by_one_can_be_read_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "played.jsonl.gz"
    with episode_writer(path) as take:
        for number, episode in enumerate(EPISODES[:3], start=1):
            take(episode)
            assert gzip.decompress(path.read_bytes()) == b"".join(LINES[:number])
    assert read_episodes(path) == EPISODES[:3]


@pytest.mark.parametrize("text", [b"\n" * (jsonl.MOST_LINES + 1), b"0\n" * (jsonl.MOST_LINES + 1)])
@pytest.mark.parametrize("ending", [jsonl.PLAIN, jsonl.PACKED])
def test_many_lines_are_refused_blank_ones_too(text: Any, ending: Any, tmp_path: Path) -> None:
    path = tmp_path / f"bomb{ending}"
    path.write_bytes(gzip.compress(text) if ending == jsonl.PACKED else text)
    with pytest.raises(jsonl.TooMuchError, match="more than 1,048,576 lines"):
        list(jsonl.lines(path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(ValueError, match="it is no file"):
        list(jsonl.lines(tmp_path / "pipe.jsonl"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"policies": []}, "nobody played"),
        ({"learners": ["main"]}, "learners: 1 for 2 players"),
        ({"rounds": None}, "rounds: input should be a valid array"),
        ({"seed": "5"}, "seed: input should be a valid integer"),
        ({"seed": 1.5}, "seed: input should be a valid integer"),
        ({"game": []}, "game: input should be an object"),
        ({"policies": [{"kind": "spirit", "name": "x"}] * 2}, "policies.0.kind: input should be 'adapter', 'base'"),
        ({"more": 1}, "more: unexpected keyword argument"),
    ],
)
def test_a_line_that_is_no_episode(change: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        type(EPISODES[0]).from_json(json.dumps(json.loads(LINES[0]) | change))


@pytest.mark.parametrize("line", ["", "null", "[]", "3", "NaN", "[" * 5000, '"\ud800"', '{"seed": NaN}', LINES[0][:200]])
def test_what_is_no_json_or_something_else(line: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        type(EPISODES[0]).from_json(line)


@pytest.mark.parametrize("rewards", [[1], [1, 2, 3], [1, float("nan")], [1, "2"], [1, None]])
def test_rewards_of_nobody(rewards: Any) -> None:
    data = json.loads(LINES[0])
    data["rounds"][0]["rewards"] = rewards
    with pytest.raises(ValueError, match=r"rounds\.0\.rewards"):
        type(EPISODES[0]).from_json(json.dumps(data))
