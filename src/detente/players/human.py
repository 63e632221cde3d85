"""A person at the terminal: reads what the game says and types the answer, with or without its tags and brackets."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from detente.errors import UserError
from detente.games.base import Observation
from detente.players.base import MemorylessPlayer, encodable
from detente.records import Completion, PolicyRef
from detente.screen import Screen
from detente.signals import at_once, handled
from detente.visible import visible

WAY_OUT = "q, Ctrl-D or Ctrl-C leaves the game"


def asked(prompt: str) -> str:
    """One line of standard input. Where that is no terminal, on which the line would be seen and end the prompt's, both are written
    here."""
    line = ""
    try:
        line = input(prompt)
    finally:
        if sys.stdin is not None and not sys.stdin.isatty():
            print(visible(line, keep=""))
    return line


@dataclass
class Human(MemorylessPlayer):
    """A person on one seat. ``read`` takes one line from them (``asked``, or a stand-in in tests)."""

    name: str = "human"
    read: Callable[[str], str] = asked
    console: Console = field(default_factory=Screen)

    @property
    def policy(self) -> PolicyRef:
        return PolicyRef("human", self.name)

    async def act(self, observation: Observation) -> Completion:
        """Ask until the answer is valid; ``attempts`` counts the tries.

        UserError where the person leaves, where the input ends, or where there is none. Waiting for a line blocks the event loop,
        so that Ctrl-C is obeyed at once.
        """
        self.console.print(_panel(observation, subtitle=WAY_OUT))
        if observation.help:
            self.console.print(Text(observation.help, style="dim"))
        attempts = 1
        while (answer := answered(line := self._line(observation), observation)) is None:
            self.console.print(Text(explanation(line, observation), style="yellow"))
            attempts += 1
        return Completion(answer, self.policy, attempts=attempts)

    def recall(self, observation: Observation, completion: Completion) -> None:
        """Show the question, and what was answered."""
        self.console.print(_panel(observation), Text(f"The answer was: {completion.text}"))

    def _line(self, observation: Observation) -> str:
        """What the person types; UserError where they leave."""
        try:
            with handled(at_once, signal.SIGINT):
                line = encodable(self.read(f"Your {observation.topic or observation.phase}: ").strip())
        except EOFError:
            raise UserError("The input ended before the game did, so the game was given up.") from None
        except RuntimeError as error:  # standard input is closed, or a notebook has none
            raise UserError(
                "Nobody can be asked here, for there is no standard input; let somebody else play that seat."
            ) from error
        if leaves(line, observation):
            raise UserError("You left the game before it was over, so it was given up.")
        return line


def _panel(observation: Observation, subtitle: str | None = None) -> Panel:
    return Panel(Text(observation.text), title="The game says", title_align="left", subtitle=subtitle, subtitle_align="right")


def leaves(line: str, observation: Observation) -> bool:
    """Whether a line asks to leave the game: q, where that is no answer to a question for a decision."""
    return line.casefold() == "q" and (observation.phase == "message" or answered(line, observation) is None)


def answered(line: str, observation: Observation) -> str | None:
    """The answer that a line means: the line itself, filled into the observation's form, or the choice with its words; None
    where that is no valid answer.

    A form with several gaps takes the numbers of the line, ``10 0 5`` or ``10 hats, 0 books, 5 balls``, in its own order.
    """
    form = observation.form
    filled = form.format(line) if form.count("{}") == 1 else _with_numbers(form, line)
    typed = (line, filled, *_named(line, observation.choices))
    return next((text for text in typed if observation.accepts(text)), None)


def _named(line: str, choices: Sequence[str]) -> Sequence[str]:
    """The choice that the line names without its brackets; in whatever case, where no two choices differ by case alone."""
    for same in (str, str.casefold):
        matching = [choice for choice in choices if same(_bare(choice)) == same(_bare(line))]
        if len(matching) == 1:
            return matching
    return ()


def _bare(text: str) -> str:
    return re.sub(r"^\W+|\W+$", "", text)


def _with_numbers(form: str, line: str) -> str:
    """The form with the numbers of the line; "" where there are too few or too many, or with words of another order."""
    numbers, words = re.findall(r"[-\d.]+", line), re.findall(r"[^\W\d_]+", line.lower())
    if len(numbers) != form.count("{}") or words not in ([], re.findall(r"\{\} (\w+)", form)):
        return ""
    return form.format(*numbers)


def explanation(line: str, observation: Observation) -> str:
    """Why a line is no valid answer, and what would be."""
    wrong = f"'{line}' is not an answer here"
    if observation.choices:
        return f"{wrong}; type one of: {observation.listed}"
    if observation.help:
        return f"{wrong}. {observation.help}"
    return f"{wrong}; it must match the regular expression {observation.pattern}"
