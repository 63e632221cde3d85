from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detente import config
from detente.errors import UserError
from detente.reports import report
from detente.reports.run import arms, read_runs
from tests.reports.make_run import make_run


def write(folder: Path, rows: list[dict[str, Any]], options: str = "game: {name: ipd}\nseed: 0\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(options)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_labels_are_the_shortest_ends_that_differ(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, []) for name in ("a/x", "b/x", "b/y")]
    assert [run.label for run in read_runs(paths[1:])] == ["x", "y"]
    assert [run.label for run in read_runs(paths)] == ["a/x", "b/x", "b/y"]


def test_series_skip_what_was_not_visited(tmp_path: Path) -> None:
    (run,) = read_runs(
        [write(tmp_path / "run", [{"iteration": 1, "k": 0.5}, {"iteration": 2, "k": None}, {"iteration": 3, "k": 0.25}])]
    )
    series = arms([run])[0].series("k")
    assert series is not None
    assert (series.iterations, series.values) == ((1, 3), (0.5, 0.25))
    assert arms([run])[0].series("unknown") is None


def test_runs_that_differ_by_seed_alone_become_one_arm_with_mean_and_range(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"aa-seed{seed}", [{"iteration": 1, "k": value}], f"game: {{name: ipd}}\nseed: {seed}\n")
        for seed, value in ((0, 1.0), (42, 2.0), (1337, 6.0))
    ]
    other = write(tmp_path / "other", [{"iteration": 1, "k": 0.0}], "game: {name: chicken}\nseed: 0\n")
    first, second = arms(read_runs([*paths, other]))
    assert (first.label, second.label) == ("aa (3 seeds)", "other")
    series = first.series("k")
    assert series is not None
    assert (series.values, series.low, series.high) == ((3.0,), (1.0,), (6.0,))


def test_long_series_are_averaged_down(tmp_path: Path) -> None:
    rows = [{"iteration": i, "k": float(i)} for i in range(1, 7)]
    series = arms(read_runs([write(tmp_path / "run", rows)]))[0].series("k", limit=3)
    assert series is not None
    assert (series.iterations, series.values) == ((2, 4, 6), (1.5, 3.5, 5.5))


def test_half_a_line_at_the_end_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [{"iteration": 1, "reward/main": 2.0}])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 2, "rew')
    (run,) = read_runs([folder])
    assert run.iteration == 1


def test_an_unfinished_run_tells_its_last_numbers(tmp_path: Path) -> None:
    rows = [
        {"iteration": 1, "reward/first": 2.0, "reward/second": 1.0, "self_play/reward/first": 2.5, "cooperate_given/first/CC": 0.9},
        {
            "iteration": 2,
            "reward/first": 1.8,
            "self_play/reward/first": 2.25,
            "cooperate_given/first/CC": None,
            "invalid/first": 0.1,
        },
        {
            "iteration": 2,
            "eval/first/vs/random/reward": 2.0,
            "eval/first/vs/random/opponent_reward": 1.5,
            "vs/kept/reward/first": 2.0,
        },
    ]
    options = "game: {name: ipd}\nalgorithm: reinforce\nlearners: {first: {algorithm: sum_of_rewards}}\n"
    (run,) = read_runs([write(tmp_path / "run", rows, options)])  # type: ignore[arg-type]
    assert run.learners == ("first", "second")
    found = run.result("first")
    assert (found.algorithm, found.final, found.invalid) == ("sum_of_rewards", False, 0.1)
    assert found.self_play == {"reward": 2.25}
    assert found.given == {"cooperate_given/CC": 0.9}
    assert found.against == {"random": {"reward": 2.0, "opponent_reward": 1.5}}
    assert run.result("second").self_play == {"reward": 1.0}
    assert (found.partners, run.result("second").partners) == ({}, {"first": 2.25})


def test_a_finished_run_tells_its_summary(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "advantage_alignment", iterations=2)
    (run,) = read_runs([folder])
    found, written = run.result("main"), json.loads((folder / "summary.json").read_text())["learners"]["main"]
    assert found.final
    assert (found.self_play, found.against) == (written["self_play"], written["against"])
    assert found.given == {f"cooperate_given/{move}": p for move, p in written["cooperate_given"].items()}


@pytest.mark.parametrize("told", [{"investor": 8.5, "trustee": 0.5}, None], ids=["as written", "of an earlier version"])
def test_partners_have_points_of_their_own(tmp_path: Path, told: dict[str, float] | None) -> None:
    rewards = {"investor": 8.5, "trustee": 0.5}
    extra = {} if told is None else {"partners": told}
    learners = {name: {"self_play": {"reward": reward}, "against": {}, **extra} for name, reward in rewards.items()}
    folder = write(tmp_path / "run", [])
    (folder / "summary.json").write_text(json.dumps({"learners": learners}))
    (run,) = read_runs([folder])
    assert run.result("investor").partners == {"trustee": 0.5}
    assert run.result("trustee").partners == {"investor": 8.5}


def test_what_is_no_run_folder_is_named_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no run folder .*absent\."):
        read_runs([tmp_path / "absent"])
    with pytest.raises(UserError, match=r"is no run folder: it holds no config\.yaml\."):
        read_runs([tmp_path])
    write(tmp_path / "broken", [])
    (tmp_path / "broken" / "summary.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        read_runs([tmp_path / "broken"])


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.yaml", b"", "it is no mapping"),
        ("config.yaml", bytes(range(256)), "it is no text in UTF-8"),
        ("config.yaml", b"- 1", "it is no mapping"),
        ("config.yaml", b"3", "it is no mapping"),
        ("config.yaml", b"seed: 3", "game: it is missing"),
        ("config.yaml", b"game: {rounds: 3}", "game.name: it is missing"),
        ("config.yaml", b"game: {name: ipd}\niterations: .inf", ".inf is no finite number"),
        ("config.yaml", b"game: {name: ipd}\nseed: x", "seed: input should be a valid integer"),
        ("config.yaml", b"game: {name: ipd}\nlearners: [main]", "learners: it is no mapping"),
        ("config.yaml", b"game: {name: ipd}\n1: 2", "the key 1 is no text"),
        ("config.yaml", b"a: " + b"[" * 5000, "inside of each other"),
        ("metrics.jsonl", b"null\n", "line 1 it is no mapping"),
        ("metrics.jsonl", b'{"iteration": 1, "reward/main": NaN}\n', "line 1 "),
        ("metrics.jsonl", b'{"iteration": 1}\n{"iteration": 2, "x": Infinity}\n', "line 2 "),
        ("metrics.jsonl", b'{"iteration": 1, "x": 1e300}\n', "x: its size should be below 1e+100"),
        ("metrics.jsonl", b'{"iteration": 1, "x": "y"}\n', "line 1 x"),
        ("metrics.jsonl", b'{"reward/main": 1}\n', "line 1 iteration: it is missing"),
        ("metrics.jsonl", b'{"iteration": 1, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "line 1 "),
        ("metrics.jsonl", b"\xff\n", "it is no text in UTF-8"),
        ("summary.json", b"{}", "learners: it is missing"),
        ("summary.json", b"[]", "it is no mapping"),
        ("summary.json", b'{"learners": {}}', "learners: "),
        ("summary.json", b'{"learners": {"main": null}}', "learners.main: it is no mapping"),
        ("summary.json", b'{"learners": {"main": {"self_play": {"reward": "x"}}}}', "learners.main.self_play.reward"),
        ("summary.json", b"", "summary.json cannot be read as a run's evaluation"),
    ],
)
def test_a_damaged_run_folder_is_one_sentence(file: str, content: Any, reason: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [{"iteration": 1, "reward/main": 1.0}])
    (folder / file).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_runs([folder])
    assert f"{folder / file} cannot be read as " in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("learners", "named"),
    [
        ("null", ("pocket",)),
        ("{rival: {algorithm: reinforce}}", ("pocket",)),
        ("{rival: {model: big}}", ("main: pocket", "rival: big")),
        ("{rival: {model: big}, main: {model: big}}", ("big",)),
    ],
)
def test_base_models_are_named_by_learner_where_they_differ(learners: str, named: tuple[str, ...], tmp_path: Path) -> None:
    options = f"game: {{name: ipd}}\nmodel: pocket\nlearners: {learners}\n"
    row = {"iteration": 1, "reward/main": 1.0, "reward/rival": 2.0}
    (run,) = read_runs([write(tmp_path / "run", [row], options)])
    assert run.models == named


@pytest.mark.parametrize(
    ("seats", "together"),
    [(["main", "main"], "in self-play"), (["alice", "bob"], "with each other"), (["main", "tit_for_tat"], "with each other")],
)
def test_self_play_is_that_of_a_learner_with_itself(seats: list[str], together: str, tmp_path: Path) -> None:
    names = [seat for seat in dict.fromkeys(seats) if seat not in ("main", "tit_for_tat")]
    run = tmp_path / "run"
    run.mkdir()
    options = config.build({"game": "ipd", "seats": seats, "learners": {name: {} for name in names}})
    (run / "config.yaml").write_text(config.to_yaml(options))
    keys = [f"{part}reward/{name}" for name in options.learner_names for part in ("", "self_play/")]
    rows = [{"iteration": i} | dict.fromkeys(keys, 2.0) for i in (1, 2)]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert read_runs([run])[0].together == together
    drawn = report([run], tmp_path / "page.html").read_text()
    assert f"Points per round {together}" in drawn
    assert ("self-play" in drawn.lower().replace("self_play", "")) == (seats == ["main", "main"])
