"""What cannot be seen is written out, and nothing else is changed."""

from __future__ import annotations

import pytest

from detente.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\x9b2J"),
        ("a\rb\x08c\x00\x7f", "a\\x0db\\x08c\\x00\\x7f"),
        ("abc\u202efed\u2066\u200b\ufeff", "abc\\u202efed\\u2066\\u200b\\ufeff"),
        ("\u2028\U000e0041", "\\u2028\\U000e0041"),
        ("caf\udce9", "caf\\xe9"),  # a byte of a folder's name
        ("half \ud83d", "half \\ud83d"),
        ("line\n\tline", "line\n\tline"),
        ("Ä — → 🙂 👩\u200d👧 می\u200cخواهم [red]", "Ä — → 🙂 👩\u200d👧 می\u200cخواهم [red]"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_a_line_is_one_line() -> None:
    assert visible("a\nb\tc", keep="") == "a\\x0ab\\x09c"
