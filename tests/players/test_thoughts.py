"""One rule for what is thought and what is said, whoever answers."""

from __future__ import annotations

import pytest

from detente.players.thoughts import closed, spoken


@pytest.mark.parametrize(
    ("reply", "expect"),
    [
        ("<A>", "<A>"),
        ("<think>A or B?\nA.</think>\n\n<A>", "<A>"),
        ("  <thinking>A</thinking> <A> ", "<A>"),
        ("A or B? A.\n</think><A>", "<A>"),  # where the thoughts begin may stand in the prompt
        ("<think></think><A>", "<A>"),
        ("<think>cut off in the mid", "<think>cut off in the mid"),
        ("<think>a</think><m> </think> </m>", "<m> </think> </m>"),
        ("I think <A>", "I think <A>"),
        ("thought</think>", ""),
    ],
)
def test_thoughts_are_not_part_of_an_answer(reply: str, expect: str) -> None:
    assert spoken(reply) == expect


@pytest.mark.parametrize("tag", ["think", "thinking"])
@pytest.mark.parametrize("space", ["", "\n", " \n\n"])
def test_an_open_thought_is_ended(tag: str, space: str) -> None:
    assert closed(f"assistant\n<{tag}>{space}") == f"assistant\n<{tag}>\n\n</{tag}>\n\n"


@pytest.mark.parametrize("prompt", ["", "assistant\n", "<think>\n\n</think>\n\n", "<think> and more", "</think>", "<thin>"])
def test_any_other_prompt_stays_as_it_is(prompt: str) -> None:
    assert closed(prompt) == prompt
