"""``best-response`` with aims, starts or seeds: a search for the worst case of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detente.cli.terminal import console, listed, say, whole_numbers

if TYPE_CHECKING:
    from rich.console import Console

    from detente.evaluation.adversaries import Task


def search(
    preset: str,
    against: str,
    folder: Path,
    overrides: Sequence[str],
    *,
    aims: str | None,
    starts: str | None,
    seeds: str | None,
    jobs: int,
    memory: int | None,
    role: str | None,
    trust: bool,
) -> None:
    """Train every adversary, let all of them meet the agent, and print and draw the worst case."""
    from detente import api
    from detente.config import load
    from detente.reports.worst_case import worst_case_tables

    screen = console()
    own = {"aims": listed("own" if aims is None else aims), "starts": listed("base" if starts is None else starts)}
    numbers = whole_numbers(seeds) if seeds is not None else [load(preset, overrides, trust=trust).seed]
    with Adversaries(screen, f"Searching for the worst case of {against} in {folder}") as watch:
        result = api.worst_case(
            preset,
            against,
            folder,
            overrides,
            **own,
            seeds=numbers,
            jobs=jobs,
            memory=memory,
            watch=watch,
            trust=trust,
            role=role,
        )
    screen.print(worst_case_tables(result))
    for sentence in result["left_out"]:
        say(screen, sentence)
    say(screen, f"Wrote {folder / 'worst_case.json'}, worst_case.png and {folder / 'index.html'}")


class Adversaries:
    """The progress of a search: a bar in a terminal, and a line for every adversary that is trained. ``opening`` is said when it
    begins."""

    def __init__(self, screen: Console, opening: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.screen, self.opening = screen, opening
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)

    def __enter__(self) -> Adversaries:
        self.bar.start()
        self.task = self.bar.add_task("loading", total=None)
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def begin(self, adversaries: int, finished: int, iterations: int) -> None:
        """There are so many adversaries, of which ``finished`` are trained already."""
        self.adversaries, self.trained_so_far, self.iterations = adversaries, finished, iterations
        self._show()
        say(self.screen, self.opening)
        if finished:
            say(self.screen, f"{finished} of {adversaries} adversaries are trained already")

    def iteration(self) -> None:
        """An adversary has trained for one more iteration."""
        self.bar.advance(self.task)

    def trained(self, task: Task) -> None:
        """An adversary is trained."""
        from detente import jsonl
        from detente.evaluation.adversaries import SHAPER
        from detente.evaluation.best_response import point
        from detente.evaluation.statistics import in_words
        from detente.games import configured

        self.trained_so_far += 1
        *_, last = (path for path in jsonl.files(task.run / "episodes") if jsonl.name(path).isdecimal())
        end = point(configured(task.config.game, task.config.measures), last)
        own, agent = (in_words(end[key]) for key in ("responder", "agent"))
        victim = "the learning agent" if task.adversary.aim == SHAPER else "the agent"
        line = f"adversary {self.trained_so_far} of {self.adversaries}, {task.adversary.words}: gets {own}, {victim} {agent}"
        say(self.screen, line)
        self._show()

    def measuring(self) -> None:
        """Everybody meets the agent."""
        self.bar.update(self.task, description="measuring", total=None)
        say(self.screen, "Measuring what each gets, and what the agent keeps")

    def _show(self) -> None:
        done, whole = self.trained_so_far * self.iterations, self.adversaries * self.iterations
        self.bar.update(self.task, description="training adversaries", total=whole, completed=done)
