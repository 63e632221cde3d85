from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from detente import web
from tests.browsing import browser  # noqa: F401
from tests.reports.make_run import HOSTILE, make_run
from tests.reports.make_split_run import make_split_run
from tests.web.make_arena import make_arena
from tests.web.serving import Server


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, one that was stopped, and an arena; invalid answers try to break out of the pages."""
    root = tmp_path_factory.mktemp("all") / "runs"
    make_run(root / "ipd" / "reinforce", "reinforce", iterations=20, reply=HOSTILE)
    make_run(root / "ipd" / "stopped", "advantage_alignment", iterations=20, done=12, summary=False)
    make_split_run(root / "split", "reinforce", iterations=8, reply=HOSTILE, against=["greedy", "welfare"])
    make_arena(root / "meeting", ["tit_for_tat", "always_defect", "always_cooperate"])
    return root


@pytest.fixture(scope="session")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(web.build(folder), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """The pages at an address of their own, for a browser."""
    with Server(folder) as running:
        yield running
