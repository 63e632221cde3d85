"""Transfer: what agents do in the games of a suite, grouped by seeds, kept when stopped, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy.stats import t

from detente import api
from detente.config import load
from detente.errors import UserError
from detente.evaluation import suites
from detente.evaluation.transfer import transfer
from detente.evaluation.transfer_table import ends
from detente.games import make

SUITE = """
episodes: 4
partners: [always_defect]
rows:
  - {name: short, game: {name: ipd, rounds: 2}}
  - {name: noisy, game: {name: chicken, rounds: 2, noise: 0.5}, partners: []}
  - {name: coins, game: {name: trust_and_split, rounds: 1}, partners: [greedy]}
  - {name: four players, game: {name: "example_games:Punishment"}, partners: [random]}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> list[str]:
    """Two seeds of one algorithm, and a run of another one, of one iteration each."""
    folder = tmp_path_factory.mktemp("runs")
    names = []
    for name, changes in {"a": ["seed=0"], "b": ["seed=1"], "c": ["algorithm=reinforce"]}.items():
        small = ["game.rounds=2", "iterations=1", "episodes=4", "group_size=4", "evaluation.episodes=0", f"model={tiny_model}"]
        names.append(str(api.train(load("ipd", [*small, *changes]), folder / name)))
    return names


@pytest.fixture
def suite(tmp_path: Path) -> suites.Suite:
    path = tmp_path / "own.yaml"
    path.write_text(SUITE)
    return suites.load(str(path), trust=True)


@dataclass
class Heard:
    lines: list[str] = field(default_factory=list)
    begun: tuple[int, int, int] = (0, 0, 0)
    episodes: int = 0

    def begin(self, seatings: int, finished: int, episodes: int) -> None:
        self.begun = (seatings, finished, episodes)

    def seating(self, names: Sequence[str]) -> None:
        self.lines.append(" | ".join(names))

    def episode(self) -> None:
        self.episodes += 1


def cell(content: dict[str, Any], row: int, group: int) -> dict[str, Any]:
    return dict(content["table"][row]["cells"][group])


def test_seeds_are_one_line_with_an_interval_over_them(runs: list[str], suite: suites.Suite, tmp_path: Path) -> None:
    heard = Heard()
    content = transfer(runs, suite, tmp_path / "out", watch=heard)
    assert content["groups"] == [{"label": "advantage_alignment, 2 seeds", "agents": [0, 1]}, {"label": "c", "agents": [2]}]
    points = cell(content, 0, 0)["self_play"]["reward"]
    assert points["mean"] == pytest.approx(fmean(points["by_agent"]))
    half = t.ppf(0.975, 1) * stdev(points["by_agent"]) / 2**0.5
    assert points["over_seeds"]["high"] == pytest.approx(min(5, points["mean"] + half))
    assert cell(content, 0, 1)["self_play"]["reward"]["over_seeds"] is None
    assert points["relative"] == pytest.approx((points["mean"] - 1) / 2)  # 1 and 3 points in mutual defection and cooperation
    assert content["table"][0]["measure"] == "cooperates"
    against = cell(content, 0, 1)["against"]["always_defect"]
    assert against["reward"]["mean"] + 1 == pytest.approx(2 - against["measure"])  # 0 where it cooperated, else 1
    assert heard.begun == (3 * (2 + 1 + 2), 0, 4)
    assert heard.episodes == heard.begun[0] * 4
    assert "c in 'short' | always_defect" in heard.lines


def test_who_learned_labels_does_not_play_for_coins_but_with_any_number_of_players(
    runs: list[str], suite: suites.Suite, tmp_path: Path
) -> None:
    content = transfer(runs[2:], suite, tmp_path / "out")
    assert cell(content, 2, 0) == {"skipped": "it learned the answers of ipd, which are no answers here"}
    four = content["table"][3]
    assert four["cooperation"] is None
    assert four["cells"][0]["self_play"]["reward"]["relative"] is None
    assert -8 <= four["cells"][0]["against"]["random"]["reward"]["mean"] <= 22


def test_a_transfer_that_was_stopped_goes_on_and_ends_the_same(runs: list[str], suite: suites.Suite, tmp_path: Path) -> None:
    whole = transfer(runs[:1], suite, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    (tmp_path / "stopped" / "transfer.json").unlink()
    files = sorted((tmp_path / "stopped" / "episodes").iterdir())
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-20])
    heard = Heard()
    assert transfer(runs[:1], suite, tmp_path / "stopped", watch=heard) == whole
    assert heard.begun == (5, 3, 4)
    assert json.loads((tmp_path / "stopped" / "transfer.json").read_text()) == whole


def test_another_request_in_the_folder_is_refused(runs: list[str], suite: suites.Suite, tmp_path: Path) -> None:
    transfer(runs[:1], suite, tmp_path / "out")
    with pytest.raises(UserError, match="episodes"):
        transfer(runs[:1], suite, tmp_path / "out", episodes=8)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(UserError, match="is no transfer"):
        transfer(runs[:1], suite, tmp_path / "other")


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["tit_for_tat"], "is no run, adapter or model"),
        (["human"], "is no run, adapter or model"),
        (["runs/none"], "no run or adapter folder"),
        (["model:pocket", "model:pocket"], "named twice"),
    ],
)
def test_who_cannot_be_measured(names: list[str], fault: str, suite: suites.Suite, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=fault):
        transfer(names, suite, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "cooperation", "defection"), [("ipd", 3, 1), ("stag_hunt", 4, 2), ("chicken", 3, 0), ("trust_and_split", 50, 27.5)]
)
def test_mutual_cooperation_and_defection(name: str, cooperation: float, defection: float) -> None:
    between = ends(make(name))
    assert between is not None
    assert (between.cooperation, between.defection) == pytest.approx((cooperation, defection))
    assert between.relative((cooperation + defection) / 2) == pytest.approx(0.5)


def test_the_page_and_the_table_show_every_row(runs: list[str], suite: suites.Suite, tmp_path: Path) -> None:
    from rich.console import Console

    from detente.reports.transfer import grid, skipped

    path = tmp_path / "own.yaml"
    path.write_text(SUITE.replace("name: short", "name: '<b>short'"))
    content = api.transfer(runs, str(path), tmp_path / "out", trust=True)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "&lt;b&gt;short" in page
    assert "<b>short" not in page
    assert (tmp_path / "out" / "transfer.png").stat().st_size > 5000
    screen = Console(width=160, record=True)
    screen.print(grid(content))
    shown = screen.export_text()
    assert "noisy" in shown
    assert "four players" in shown
    assert "coins" not in shown
    assert "c does not play coins: it learned the answers of ipd, which are no answers here" in list(skipped(content))
