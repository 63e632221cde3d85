"""What the commands share: lists of names, and that nobody waits without a word."""

from __future__ import annotations

import io
import time

import pytest

from detente import cli
from detente.cli import terminal
from detente.errors import UserError
from detente.screen import Screen


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ('"runs/a,b",tit_for_tat', ["runs/a,b", "tit_for_tat"]),
        ('tit_for_tat, "runs/a, b"', ["tit_for_tat", "runs/a, b"]),
        (r"runs/a\,b,random", ["runs/a,b", "random"]),
        ("openai:m@http://x/v1,a", ["openai:m@http://x/v1", "a"]),
        ("a", ["a"]),
    ],
)
def test_commas_separate_names_except_in_quotes(text: str, names: list[str]) -> None:
    assert terminal.listed(text) == names


@pytest.mark.parametrize("text", ["a\nb,c", "a\rb", "a" * 200_000])
def test_what_is_no_list_of_names_is_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match="A list of names is one line"):
        terminal.listed(text)


def said(screen: Screen) -> str:
    return screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_says_at_once_what_is_done() -> None:
    screen = Screen(file=io.StringIO(), force_terminal=True, width=80)
    with terminal.doing(screen, "Drawing [red]x"):
        end = time.monotonic() + 10
        while "Drawing [red]x" not in said(screen):
            assert time.monotonic() < end
            time.sleep(0.01)
    assert "\x1b[2K" in said(screen).rpartition("Drawing")[2]  # nothing of it stays


def test_elsewhere_a_line_tells_of_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PATIENCE_S", 0.05)
    screen = Screen(file=io.StringIO())
    with terminal.doing(screen, "Drawing"):
        pass
    with terminal.doing(screen, "Reading"):
        time.sleep(0.3)
    assert said(screen) == "Reading\n"


def test_many_episodes_of_scripts_are_said_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "PATIENCE_S", 0.001)
    assert cli.main(["play", "ipd", "--seats", "tit_for_tat,random", "--episodes", "50"]) == 0
    assert "Playing ipd: tit_for_tat against random\n" in capsys.readouterr().out
