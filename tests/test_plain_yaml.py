"""YAML is data here: what else it can do is refused, at once and in a few words."""

from __future__ import annotations

import time
from typing import Any

import pytest

from detente import plain_yaml
from detente.plain_yaml import parse

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_plain_values() -> None:
    text = "a: [1, 2.5, yes, null, -3, 1.0e-4]\nb: text\nc: {d: 'it: is'}\nwhen: 2020-01-01"
    assert parse(text) == {"a": [1, 2.5, True, None, -3, 1e-4], "b": "text", "c": {"d": "it: is"}, "when": "2020-01-01"}
    assert parse("") is None


def test_a_person_types_1e_4_and_means_a_number() -> None:
    assert parse("1e-4", typed=True) == 1e-4
    assert parse("1e-4") == "1e-4"  # in files it may be a digest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x 1\nb: *x", "anchor or an alias"),
        ("a: &x 1", "anchor or an alias"),
        ("a: &a [*a]", "anchor or an alias"),
        (BOMB, "anchor or an alias"),
        ("a: &x {b: 1}\nc: {<<: *x}", "anchor or an alias"),
        ("<<: {a: 1}", "merge key"),
        ("!!python/object/apply:os.getcwd []", "tag"),
        ("a: !!str 5", "tag"),
        ("a: !mine {b: 1}", "tag"),
        ("a: 1\na: 2", "the key a stands there twice"),
        ("a: {b: 1, c: 2, b: 1}", "the key b stands there twice"),
        ("1: 2", "the key 1 is no text"),
        ("yes: 2", "the key yes is no text"),
        ("null: 2", "the key null is no text"),
        ("? [a]\n: 1", "is no text"),
        ("a: .inf", "no finite number"),
        ("a: [1, -.Inf]", "no finite number"),
        ("a: .nan", "no finite number"),
        (f"a: {10**23}", "more than 64 bits"),
        (f"a: {'9' * 5000}", "more than 64 bits"),
        (f"a: 0b1{'1' * 100}", "more than 64 bits"),
        ("[" * 5000 + "]" * 5000, "inside of each other"),
        ("[" * 5000, "inside of each other"),
        ("{a: " * 5000, "inside of each other"),
        ("- 1\n" * (plain_yaml.NODES + 1), "more than 50,000 values"),
        ("#" * (plain_yaml.SIZE + 1), "more than 1,048,576 characters"),
        ("a: [1", "expected"),
        ("- a\n---\n- b", "single document"),
        ("a: \x00", "control characters"),
        ("a: \ud800", "no text in UTF-8"),
        ("\t", "cannot start any token"),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_what_is_refused(text: Any, reason: str, typed: bool) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")) as caught:
        parse(text, typed=typed)
    assert time.monotonic() - began < 5
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
