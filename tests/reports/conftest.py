from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from make_run import HOSTILE, make_run
from make_split_run import make_split_run

from detente.reports import report


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run of either kind; the second one's invalid answers try to break out of the page."""
    folder = tmp_path_factory.mktemp("runs")
    greedy = make_run(folder / "reinforce", "reinforce", iterations=20)
    return greedy, make_run(folder / "advantage_alignment", "advantage_alignment", iterations=20, reply=HOSTILE)


@pytest.fixture(scope="session")
def comparison(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(runs, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="session")
def split_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same of Trust-and-Split."""
    folder = tmp_path_factory.mktemp("split_runs")
    arms = (("reinforce", "I take all of it!"), ("advantage_alignment", HOSTILE))
    greedy, robust = (
        make_split_run(folder / name, name, iterations=8, reply=reply, against=["greedy", "welfare"]) for name, reply in arms
    )
    return greedy, robust


@pytest.fixture(scope="session")
def split_comparison(split_runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(split_runs, tmp_path_factory.mktemp("split_page") / "report.html")
