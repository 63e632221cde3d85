"""The donor game over generations: what is kept, who descends from whom, what scripts come to, and models that write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from detente import config
from detente.games import make


@pytest.fixture(scope="module")
def societies(script: Callable[[str], Any]) -> Any:
    return script("societies")


@pytest.fixture(scope="module")
def generations(societies: Any, script: Callable[[str], Any]) -> Any:
    return script("generations")


def by_generation(rows: Any, generation: int) -> list[Any]:
    return [row for row in rows if row["generation"] == generation]


def test_generations_that_go_on_are_those_that_never_stopped(generations: Any, tmp_path: Path) -> None:
    words = ["--agents", "reciprocal", "players=4", "rounds=4"]
    for count in (1, 3):
        assert generations.main([*words, "--generations", str(count), "--out", str(tmp_path / "on")]) == 0
    assert generations.main([*words, "--generations", "3", "--out", str(tmp_path / "whole")]) == 0
    for file in ("agents.parquet", "donations.parquet"):
        on, whole = (pq.read_table(tmp_path / name / file).to_pylist() for name in ("on", "whole"))
        assert on == whole
    assert (tmp_path / "on" / "generations.png").stat().st_size > 10_000


def test_the_better_half_stays_and_has_children(generations: Any, societies: Any, tmp_path: Path) -> None:
    rows, donations = generations.evolved(societies.Scripts(1.0), make("donor", players=6, rounds=6), 3, 0, tmp_path)
    for generation in (1, 2):
        before, now = by_generation(rows, generation - 1), by_generation(rows, generation)
        ranked = sorted(before, key=lambda row: -row["resources"])
        assert {row["agent"] for row in before if row["stays"]} == {row["agent"] for row in ranked[:3]}
        assert [row["agent"] for row in now[:3]] == [row["agent"] for row in ranked[:3]]
        assert [row["strategy"] for row in now[:3]] == [row["strategy"] for row in ranked[:3]]
        assert all(row["born"] == generation and {*row["parents"]} <= {r["agent"] for r in ranked[:3]} for row in now[3:])
    assert [row["agent"] for row in rows if row["generation"] == row["born"]] == [*range(12)]
    for row in rows:
        assert row["resources"] == pytest.approx((row["first_game"] + row["swapped_game"]) / 2)
    assert len(donations) == 3 * 2 * 6 * 3


def test_with_swapped_roles_everybody_has_the_same_where_all_give_all(generations: Any, societies: Any) -> None:
    game = make("donor")
    agents = [societies.Agent(name, 0, (), "1.0") for name in range(12)]
    rows, donations = generations.measured(agents, generations.played(societies.Scripts(0.0), agents, game, 0, 0), game, 0)
    assert [row["resources"] for row in rows] == [30720.0] * 12
    assert {row["first_game"] for row in rows} == {0.0, 61440.0}
    assert generations.share(donations) == 1


def test_giving_dies_out_where_nobody_minds_it_and_spreads_where_it_is_returned(
    generations: Any, societies: Any, tmp_path: Path
) -> None:
    """Five populations of each over eleven generations; where givers are given to, not every one of them finds it."""
    ends = {}
    for slope in (0.0, 1.0):
        for seed in range(5):
            (tmp_path / f"{slope}-{seed}").mkdir()
            _, donations = generations.evolved(societies.Scripts(slope), make("donor"), 11, seed, tmp_path / f"{slope}-{seed}")
            ends[slope, seed] = generations.share(by_generation(donations, 10))
    assert max(ends[0.0, seed] for seed in range(5)) < 0.1
    assert sum(ends[1.0, seed] > 0.9 for seed in range(5)) >= 3


def test_a_model_writes_its_strategies_and_is_told_them(generations: Any, societies: Any, tiny_model: str) -> None:
    game = make("donor", players=2, rounds=2, levels=[0, 100])
    with closing(societies.opened(f"model:{tiny_model}", game)) as society:
        agents = generations.begun(society, 2, 0)
        episodes = generations.played(society, agents, game, 0, 0)
        for turn in episodes[0].turns():
            assert f"Your strategy: {agents[turn.player].strategy}" in turn.prompt
            assert agents[1 - turn.player].strategy not in turn.prompt
        rows, _ = generations.measured(agents, episodes, game, 0)
        ended = generations.of_rows(rows)
        kept, new = generations.succeeded(society, ended, 1, 0)
    assert kept in agents
    assert (new.name, new.born, new.parents) == (2, 1, (kept.name,))
    assert 0 < len(new.strategy) <= societies.TALK.chars
    asked = societies.question("The rules.", generations.better_half(ended))
    assert f'units: "{kept.strategy}"' in asked
    assert asked.startswith("The rules.\nThese strategies did best")
    assert "Strategy: ..." in asked


def test_adapters_are_trained_on_from_those_of_the_better_half(generations: Any, tiny_model: str, tmp_path: Path) -> None:
    words = ["--agents", f"adapters:{tiny_model}", "--iterations", "1", "--out", str(tmp_path), "players=2", "rounds=2"]
    for count in ("1", "2"):
        assert generations.main([*words, "--generations", count]) == 0
    rows = pq.read_table(tmp_path / "agents.parquet").to_pylist()
    assert [(row["agent"], row["strategy"]) for row in by_generation(rows, 0)] == [(0, "0-0"), (1, "0-1")]
    kept, new = by_generation(rows, 1)
    assert (new["agent"], new["strategy"], new["parents"], kept["born"]) == (2, "1-0", [kept["agent"]], 0)
    runs = {name: config.read(tmp_path / "learners" / name / "config.yaml") for name in ("0-0", "0-1", "1-0")}
    parent = str(tmp_path / "learners" / kept["strategy"])
    assert runs["1-0"].seats == (f"{parent}@1", "main")
    assert runs["1-0"].start_from == f"{parent}@1"
    assert runs["0-0"].seats == ("main", "main")
    assert runs["0-0"].start_from is None
    assert len({run.seed for run in runs.values()}) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--agents", "adapters:nothing-there"], "nothing-there"),
        (["--agents", "adapters:pocket_groups", "--iterations", "0"], "--iterations is 1 or more, not 0."),
        (["--agents", "giver", "--iterations", "2"], "--iterations is how long adapters are trained, and giver are none"),
        (["--agents", "reciprocol"], "There is no population 'reciprocol'; did you mean 'reciprocal'?"),
        (["--agents", "model:nothing-there"], "nothing-there"),
        (["--agents", "giver", "players=5"], "The donor game needs an even number of players, not 5."),
        (["--agents", "giver", "player=6"], "There is no option 'game.player'; did you mean 'game.players'?"),
        (["--agents", "giver", "swapped=true"], "'swapped' is no option here"),
        (["--agents", "giver", "players"], "'players' is not of the form key=value"),
        (["--agents", "giver", "--generations", "0"], "--generations is 1 or more, not 0."),
    ],
)
def test_what_is_wrong_is_a_sentence_and_writes_nothing(
    generations: Any, words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generations.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_one_population(generations: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--generations", "1", "--out", str(tmp_path / "out"), "players=2", "rounds=2"]
    assert generations.main(["--agents", "giver", *words]) == 0
    assert generations.main(["--agents", "reciprocal", *words]) == 2
    assert "was started with agents=giver and not reciprocal; give --out another folder" in capsys.readouterr().err
    (tmp_path / "out" / "agents.parquet").write_text("?")
    assert generations.main(["--agents", "giver", *words]) == 2
    assert "agents.parquet cannot be read" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert generations.main(["--agents", "giver", *words, "--out", str(tmp_path / "file")]) == 2
    assert "file cannot be used: not a directory." in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    assert generations.main(["--agents", "giver", "--out", str(tmp_path / "mine")]) == 2
    assert "is not empty and holds no generations" in capsys.readouterr().err
