"""docs/environments.md: every block runs, in the order of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")


def blocks(section: str) -> list[str]:
    """The Python blocks of a section that belong to no file."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"(?<!`:\n\n)```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_two_iterations_of_a_learner_in_our_game(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pettingzoo", reason="pettingzoo is not installed: pip install 'detente[pettingzoo]'")
    names: dict[str, object] = {}
    for code in blocks("A game as a PettingZoo environment"):
        exec(compile(code, "docs/environments.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in printed[-2:]] == ["0", "1"]
    assert printed[-1] != "1 [[0.0, 0.0], [0.0, 0.0]]"
