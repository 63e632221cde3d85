"""A person at the terminal, with the keyboard replaced by a list of lines."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from rich.console import Console

from detente.errors import UserError
from detente.games import make
from detente.games.base import Observation
from detente.players.human import Human, answered
from detente.players.scripted import scripted
from detente.records import Completion
from detente.rollout import Match, play_matches


def person(*lines: str) -> tuple[Human, io.StringIO]:
    waiting, screen = list(lines), io.StringIO()

    def read(prompt: str) -> str:
        if not waiting:
            raise EOFError
        return waiting.pop(0)

    return Human(read=read, console=Console(file=screen, width=100)), screen


def test_asks_again_until_the_answer_is_one() -> None:
    human, screen = person("C", "", "  <B> ")
    completion = asyncio.run(human.act(Observation("Points [bold]<A>[/bold]?", None, "<A>|<B>", ("<A>", "<B>"))))
    assert (completion.text, completion.attempts, completion.policy.kind) == ("<B>", 3, "human")
    assert "Points [bold]<A>[/bold]?" in screen.getvalue()
    assert screen.getvalue().count("type one of: <A>, <B>") == 2
    assert "'C' is not an answer" in screen.getvalue()


def test_a_recorded_answer_is_shown_with_its_question() -> None:
    human, screen = person()
    human.recall(Observation("Points <A>?", None, "<A>|<B>"), Completion("<B>", human.policy))
    assert "Points <A>?" in screen.getvalue()
    assert "The answer was: <B>" in screen.getvalue()


@pytest.mark.parametrize("line", ["<B>", "B", "b", "<b>", "<B", "(b)", " B. "])
def test_a_label_needs_no_brackets_and_no_capitals(line: str) -> None:
    assert answered(line.strip(), Observation("", None, "<A>|<B>", ("<A>", "<B>"))) == "<B>"


@pytest.mark.parametrize(("line", "answer"), [("c", "<c>"), ("C", "<C>"), ("d", "<D>"), ("", None), ("<>", None), ("cd", None)])
def test_no_label_is_guessed(line: str, answer: str | None) -> None:
    assert answered(line, Observation("", None, "<C>|<c>|<D>", ("<C>", "<c>", "<D>"))) == answer


def test_explains_the_pattern_where_there_are_no_choices() -> None:
    human, screen = person("eleven", "7")
    assert asyncio.run(human.act(Observation("How many?", None, "[0-9]"))).text == "7"
    assert "must match the regular expression [0-9]" in screen.getvalue()


def test_the_end_of_input_is_one_sentence() -> None:
    human, _ = person("<A>", "<A>")
    match = Match(make("ipd"), seed=0, players=[human, scripted("tit_for_tat", 0, make("ipd"))])
    with pytest.raises(UserError, match="input ended before the game did"):
        play_matches([match])


@pytest.mark.parametrize("error", [RuntimeError("input(): lost sys.stdin"), NotImplementedError("no input requests")])
def test_where_nobody_can_be_asked_is_one_sentence(error: Any) -> None:
    def read(prompt: str) -> str:
        raise error

    human = Human(read=read, console=Console(file=io.StringIO()))
    with pytest.raises(UserError, match="Nobody can be asked here"):
        asyncio.run(human.act(Observation("Points?", None, "<A>|<B>", ("<A>", "<B>"))))


def test_plays_a_match() -> None:
    human, screen = person("<B>", "<A>", "<A>")
    match = Match(make("ipd", rounds=3), seed=0, players=[human, scripted("tit_for_tat", 0, make("ipd"))])
    (episode,) = play_matches([match])
    assert [turn.action for turn in episode.turns(0)] == ["D", "C", "C"]
    assert episode.rewards(0) == [5, 0, 3]
    assert screen.getvalue().count("The other player picked <B>") == 1


ITEMS = Observation("", None, r"Take \d+ hats, \d+ books", form="Take {} hats, {} books", help="Type two numbers.")
MESSAGE = Observation("", None, r"<m> [^<>]{0,5} </m>", phase="message", form="<m> {} </m>", help="Type a few words.")


@pytest.mark.parametrize("line", ["Take 10 hats, 0 books", "10 0", "10, 0", "10 hats, 0 books", "10 Hats 0 Books"])
def test_numbers_fill_a_form(line: str) -> None:
    assert answered(line, ITEMS) == "Take 10 hats, 0 books"


@pytest.mark.parametrize("line", ["", "10", "10 0 5", "10 -5", "1.5 2", "0 books, 10 hats", "10 cats, 0 dogs", "ten none"])
def test_no_number_is_guessed(line: str) -> None:
    assert answered(line, ITEMS) is None


@pytest.mark.parametrize(("line", "expect"), [("", "<m>  </m>"), ("{0} 7", "<m> {0} 7 </m>"), ("<b>", None), ("longer", None)])
def test_a_line_is_a_message_and_so_is_none(line: str, expect: str | None) -> None:
    assert answered(line, MESSAGE) == expect


def test_says_what_is_asked_and_explains_it_again() -> None:
    prompts, lines = [], iter(["much too long", "ok", "1", "1 2"])
    screen = io.StringIO()

    def read(prompt: str) -> str:
        prompts.append(prompt)
        return next(lines)

    human = Human(read=read, console=Console(file=screen, width=100))
    said, asked = asyncio.run(human.act(MESSAGE)), asyncio.run(human.act(ITEMS))
    assert (said.text, said.attempts, asked.text, asked.attempts) == ("<m> ok </m>", 2, "Take 1 hats, 2 books", 2)
    assert prompts == ["Your message: "] * 2 + ["Your decision: "] * 2
    assert "'much too long' is not an answer here. Type a few words." in screen.getvalue()
    assert screen.getvalue().count("Type two numbers.") == 2
