from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from make_run import HOSTILE, make_run

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
