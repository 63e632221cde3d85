"""AGENTS.md is short, and what it names is there. Its links and commands are tested with those of all pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from detente.cli.commands import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z_-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def unknown(page: str) -> set[str]:
    """What the page names in code that there is not: make targets, commands of detente, files and folders."""
    code = " ".join(re.findall(r"^```sh\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL) + re.findall(r"`([^`\n]+)`", page))
    targets = {f"make {name}" for name in re.findall(r"\bmake ([\w-]+)", code) if name not in TARGETS}
    commands = {f"detente {name}" for name in re.findall(r"\bdetente ([a-z][\w-]*)", code) if name not in COMMANDS}
    paths = re.findall(r"(?<![\w/])((?:src|tests|docs)/[\w./-]*)", code)
    return targets | commands | {path for path in paths if not (ROOT / path).exists()}


def test_it_is_read_at_a_sitting() -> None:
    assert len(PAGE.splitlines()) < 100


def test_what_it_names_is_there() -> None:
    assert unknown(PAGE) == set()


@pytest.mark.parametrize("text", ["`make tset`", "```sh\n.venv/bin/detente trane ipd\n```", "`src/detente/gone.py`"])
def test_what_is_not_there_would_be_found(text: str) -> None:
    assert len(unknown(text)) == 1
