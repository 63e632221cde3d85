"""The loop, start-up, disk, scaling, and the page: each with next to nothing to do."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import arms, disk, learners, loop, overlap, profile, scaling, startup, tables
from benchmarks.__main__ import FULL, SHORT
from benchmarks.tables import Table
from detente import cli
from detente.options import OpponentOptions

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"


def test_the_loop(here: Any, tmp_path: Path) -> None:
    loop.loop(["ipd", "trust_and_split"], episodes=4, rounds=2, repeats=2, json=tmp_path / "loop.json")
    rows = json.loads((tmp_path / "loop.json").read_text())["figures"]["rows"]
    assert [(row["game"], row["turns"]) for row in rows] == [("ipd", 4), ("trust_and_split", 8)]
    for row in rows:
        assert row["per_cpu_s"]["played"]["median"] > 0
        assert row["bytes_in_memory"] > 1000
        assert row["bytes_on_disk"] > 100
    assert rows[1]["bytes_in_memory"] > rows[0]["bytes_in_memory"]


def test_updates_of_two_learners(here: Any, tmp_path: Path, tiny_model: str) -> None:
    learners.learners(tiny_model, ["ipd"], "cpu", episodes=4, rounds=2, repeats=1, json=tmp_path / "learners.json")
    (row,) = json.loads((tmp_path / "learners.json").read_text())["figures"]["rows"]
    assert (row["chats"], set(row["variants"])) == (8, {"apart", "as one"})
    assert row["ratio"]["median"] > 0


def test_where_the_seconds_of_an_update_go(here: Any, tmp_path: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    profile.profile(tiny_model, device="cpu", chats=2, length=20, rank=2, json=tmp_path / "profile.json")
    (row,) = json.loads((tmp_path / "profile.json").read_text())["figures"]["rows"]
    lines = {line["operation"]: line for line in row["operations"]}
    assert lines["mm, thin"]["flop"] > 0
    assert 0 < sum(line["s"] for line in lines.values()) < 1.1 * row["wall_s"]
    assert len(lines) == profile.SHOWN + 1
    assert "An update of synthetic, 2 chats, 40 tokens" in capsys.readouterr().out
    assert profile.summed([("a", 1, 2.0, 3.0), ("a", 1, 2.0, 3.0)]) == [{"operation": "a", "calls": 2, "s": 4.0, "flop": 6.0}]


def test_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "COMMANDS", {"nothing": ("-c", "pass"), "wait": ("-c", "import time; time.sleep(0.2)")})
    found = startup.measured(1)
    assert found["wait"]["wall_s"]["median"] > 0.2 > found["wait"]["cpu_s"]["median"]
    with pytest.raises(ValueError, match="status 3"):
        startup.run(("-c", "import sys; sys.exit(3)"))


def test_two_trainings_in_turn_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[object] = []

    def begun(arm: str, iterations: int, folder: Path, threads: int | None = None) -> subprocess.Popen[bytes]:
        events.append((arm, threads))
        return subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(9 * (sys.argv[1] == '7'))", str(iterations)])

    monkeypatch.setattr(arms, "begun", begun)
    ended = arms.ended
    monkeypatch.setattr(arms, "ended", lambda process: (ended(process), events.append("ended")))
    figures = arms.measured(3, 1)
    first, second = arms.ARMS
    assert events == [(first, None), "ended", (second, None), "ended", (first, 1), (second, 1), "ended", "ended"]
    assert figures["ratio"]["median"] > 0
    with pytest.raises(ValueError, match="status 9"):
        arms.together(7)


def test_rollouts_beside_updates(here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"overlap=0": iter([6.0, 8.0]), "overlap=1": iter([4.0, 4.0])}
    monkeypatch.setattr(overlap, "spent", lambda preset, options: next(seconds[options[0]]))
    overlap.overlap(iterations=3, repeats=2, json=tmp_path / "o.json")
    figures = json.loads((tmp_path / "o.json").read_text())["figures"]
    assert figures["ratio"] == {"median": 1.75, "least": 1.5, "greatest": 2.0}
    assert overlap.tables(figures)[0].rows[-1][0] == "ratio, overlap=0 / overlap=1"


def test_seconds_are_those_of_the_iterations(tiny_model: str) -> None:
    small = [f"model={tiny_model}", "game.rounds=1", "episodes=4", "group_size=4", "iterations=1", "evaluation.episodes=0"]
    assert overlap.spent("ipd", small) > 0
    with pytest.raises(ValueError, match="status 2"):
        overlap.spent("nothing", [])


def test_a_run_is_weighed_by_part(small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    found = disk.weighed(tmp_path / "run")
    assert sum(found.values()) == sum(file.stat().st_size for file in small_run.rglob("*") if file.is_file())
    assert all(found[part] > 0 for part in ("episodes", "metrics", "adapters", "checkpoint", "other"))
    shutil.rmtree(tmp_path / "run" / "adapters")
    assert disk.weighed(tmp_path / "run") == found | {"adapters": 0}


def test_the_adapters_of_a_long_run() -> None:
    every_ten = OpponentOptions(keep_every=10)
    assert [disk._kept(every_ten, n) for n in (5, 10, 25, 1000)] == [1, 1, 3, 100]


def test_disk(here: Any, tmp_path: Path, tiny_model: str) -> None:
    few = [
        "episodes=4",
        "group_size=4",
        "game.rounds=1",
        "evaluation.against=[]",
        "record.episodes_every=2",
        "opponents.keep_every=2",
    ]
    disk.disk(["ipd"], tiny_model, 2, few, "cpu", json=tmp_path / "disk.json")
    (row,) = json.loads((tmp_path / "disk.json").read_text())["figures"]["rows"]
    assert row["counts"] == {"episodes": [1, 500], "metrics": [2, 1000], "adapters": [1, 500]}
    assert row["bytes_of_1000"]["adapters"] == 500 * row["bytes"]["adapters"]
    assert row["bytes_of_1000"]["checkpoint"] == row["bytes"]["checkpoint"]


def test_exponents() -> None:
    assert scaling.exponents([1, 2, 4], [3, 6, 24]) == pytest.approx([1, 2])
    assert scaling.exponents([1, 2], [0, 6]) == [None]


def test_scaling(here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "QUICK", {"message": (4, 40), "adapters": (1, 2), "length": (32, 128)})
    curves = ["message", "adapters", "length"]
    scaling.scaling(curves, "pocket", "cpu", repeats=1, episodes=2, quick=True, json=tmp_path / "s.json")
    found = json.loads((tmp_path / "s.json").read_text())["figures"]["curves"]
    assert list(found) == curves
    assert found["message"]["x"][1] > 1.5 * found["message"]["x"][0]  # tokens as they came
    assert set(found["adapters"]["lines"]) == {"rollout"}
    assert all(value > 0 for curve in found.values() for line in curve["lines"].values() for value in line)
    assert found["length"]["exponents"]["baseline"][0] > 0.2
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_cells() -> None:
    assert [tables.digits(x) for x in (0.01234, 1.5, 12.345, 123.4, 12345)] == ["0.0123", "1.50", "12.3", "123", "12,345"]
    assert [tables.size(x) for x in (12, 1500, 2.5e6, 12e9)] == ["12 B", "1.50 kB", "2.50 MB", "12.0 GB"]
    assert tables.between({"median": 2, "least": 1, "greatest": 3}) == "2.00 (1.00 to 3.00)"


@pytest.mark.parametrize("words", startup.ANSWERS)
def test_what_start_up_times_is_answered(words: str) -> None:
    assert cli.main(words.split()) == 0


def test_the_page_takes_the_tables_of_results_and_keeps_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "COMMANDS", {name: startup.COMMANDS[name] for name in ("import detente", "detente list games")})
    startup.startup(1, json=tmp_path / "startup-cpu.json")
    (tmp_path / "page.md").write_text(
        "# Speed\n<!-- startup -->\nold\n<!-- /startup -->\n<!-- loop -->\nkept\n<!-- /loop -->\nend\n"
    )
    tables.table(tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "old" not in page
    assert page.endswith("<!-- loop -->\nkept\n<!-- /loop -->\nend\n")
    assert "| `detente list games` |" in page
    assert page.startswith("# Speed\n<!-- startup -->\n`python -m benchmarks")
    tables.table(tmp_path, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == page


def test_a_table_is_markdown() -> None:
    assert tables._markdown(Table("T", ["a", "b"], [["1", "2"]])) == "T:\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |"


def test_the_page_has_a_place_for_every_subject_and_shows_the_results_there_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for subject in tables.SUBJECTS:
        assert page.count(f"<!-- {subject} -->") == page.count(f"<!-- /{subject} -->") == 1
    results = [json.loads(file.read_text()) for file in sorted((ROOT / tables.FOLDER).glob("*.json"))]
    assert tables.refreshed(page, results) == page, "run: python -m benchmarks table"


def test_everything_runs_every_subject() -> None:
    for runs in (FULL, SHORT):
        assert {function.__name__ for _, function, _ in runs} == set(tables.SUBJECTS)
        assert len({name for name, _, _ in runs}) == len(runs)


def test_the_command_line(tmp_path: Path) -> None:
    words = ["-m", "benchmarks", "loop", "--game", "ipd", "--episodes", "2", "--repeats", "1", "--json"]
    done = subprocess.run([sys.executable, *words, tmp_path / "l.json"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "The loop without a model" in done.stdout
    assert json.loads((tmp_path / "l.json").read_text())["command"].startswith("python -m benchmarks loop --game ipd")


def test_a_wrong_word_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "update", "--case", "ipdd"])
    with pytest.raises(SystemExit, match="ipd"):
        runpy.run_path(str(ROOT / "benchmarks" / "__main__.py"), run_name="__main__")
