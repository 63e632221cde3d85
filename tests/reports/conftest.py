from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detente.reports import report
from tests.browsing import browser  # noqa: F401
from tests.reports.make_run import HOSTILE, make_run
from tests.reports.make_split_run import make_split_run


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures stay blank, for tests of the words and tables of whole pages: drawing takes most of the time."""
    from matplotlib.figure import Figure

    def savefig(self: Figure, out: Any, **options: Any) -> None:
        if options.get("format") == "svg":
            out.write('<svg viewBox="0 0 1 1"></svg>')
        else:
            out.write_bytes(b"")

    monkeypatch.setattr(Figure, "savefig", savefig)


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


@pytest.fixture(scope="session")
def arena_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from detente import arena

    folder = tmp_path_factory.mktemp("arena")
    arena("trust_and_split", ["greedy", "welfare", "reciprocator", "fair_half", "liar", "silent"], folder, episodes=4)
    return folder / "index.html"


@pytest.fixture(scope="session")
def fingerprint_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from detente import fingerprint

    folder = tmp_path_factory.mktemp("fingerprint")
    fingerprint("ipd", ["tit_for_tat", "grim_trigger", "generous_tit_for_tat"], folder)
    return folder / "index.html"


@pytest.fixture(scope="session")
def split_fingerprint_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from detente import fingerprint

    folder = tmp_path_factory.mktemp("split_fingerprint")
    fingerprint("trust_and_split", ["greedy", "welfare", "reciprocator"], folder, episodes=20)
    return folder / "index.html"


@pytest.fixture(scope="session")
def exploited_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import json

    from detente.reports.best_response import best_response_page
    from tests.reports.test_cross_play import exploited

    folder = tmp_path_factory.mktemp("exploited")
    (folder / "best_response.json").write_text(json.dumps(exploited("a_rather_long_name_of_an_agent-causal-seed0")))
    return best_response_page(folder)
