"""The command: where it listens, how it ends, and what it says where it cannot."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detente import cli
from detente.cli import serving
from tests.reports.make_run import make_run


def address(process: Any) -> str:
    """Where the command says that it listens."""
    end = time.monotonic() + 60
    while not (found := re.search(r"http://\S+/", process.out)):
        assert time.monotonic() < end, process.err
        time.sleep(0.02)
    return found[0]


def test_it_serves_until_ctrl_c(command: Callable[..., Any], tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "mine", done=3, summary=False)
    process = command("serve", "--port", "0", "--no-browser")
    where = address(process)
    assert process.out.startswith(f"runs is shown at {where}; Ctrl-C ends it.")
    assert where.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(where, timeout=60) as answer:
        assert "3 of 40" in answer.read().decode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(where, headers={"Host": "evil.example"}), timeout=60)
    assert refused.value.code == 400
    process.kill(signal.SIGINT)
    assert process.wait() == 0
    assert process.err == ""
    assert process.out.count("\n") == 1


def test_a_folder_that_is_not_there_is_a_sentence(command: Callable[..., Any]) -> None:
    process = command("serve", "rusn", "--no-browser")
    assert process.wait() == 2
    assert process.err == "There is no folder rusn; name the folder that your runs lie in.\n"


def test_without_runs_there_is_a_page_to_play(command: Callable[..., Any], tmp_path: Path) -> None:
    process = command("serve", "--port", "0", "--no-browser")
    with urllib.request.urlopen(address(process) + "play", timeout=60) as answer:
        assert "tit_for_tat" in answer.read().decode()
    process.kill(signal.SIGTERM)
    assert process.wait() == 0
    assert process.err == ""
    assert not (tmp_path / "runs").exists()


def test_a_port_in_use_is_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", str(tmp_path), "--port", str(port), "--no-browser"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said == f"Port {port} of 127.0.0.1 cannot be used: address already in use; choose another with --port."


def test_an_address_of_another_machine_is_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["serve", str(tmp_path), "--host", "192.0.2.1", "--no-browser"]) == 2
    assert "of 192.0.2.1 cannot be used" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("display", "options", "opened"), [(":0", [], True), (":0", ["--no-browser"], False), ("", [], False)])
def test_the_browser_opens_where_there_is_a_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, display: str, options: list[str], opened: bool
) -> None:
    import uvicorn

    found: list[str] = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, display)
    monkeypatch.setattr(serving.sys, "platform", "linux")  # type: ignore[attr-defined]
    monkeypatch.setattr(serving.webbrowser, "open", found.append)  # type: ignore[attr-defined]
    monkeypatch.setattr(uvicorn.Server, "serve", lambda self, sockets: asyncio.sleep(1.0))
    assert cli.main(["serve", str(tmp_path), "--port", "0", *options]) == 0
    assert bool(found) == opened
    assert all(re.fullmatch(r"http://127\.0\.0\.1:\d+/", each) for each in found)
