"""How far an arena is, in a terminal or in plain lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from detente.cli.terminal import doing, say, sitting

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from detente.evaluation.mechanisms import Setting


class Seatings:
    """The progress of an arena: a bar in a terminal, else a line per seating. ``opening`` is said when it begins: nothing where it
    is refused. Of several arenas under mechanisms ``at_its_end`` shows what is there then, also where they were stopped."""

    def __init__(
        self, screen: Console, opening: str, at_its_end: Callable[[Mapping[str, Any]], RenderableType] | None = None
    ) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.screen, self.opening, self.at_its_end = screen, opening, at_its_end
        self.loading = ExitStack()
        self.content: Mapping[str, Any] | None = None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("episodes"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)

    def __enter__(self) -> Seatings:
        self.bar.start()
        self.task = self.bar.add_task("loading", total=None)
        if not self.screen.is_terminal:
            self.loading.enter_context(doing(self.screen, "Loading who plays"))
        return self

    def __exit__(self, *error: object) -> None:
        self.loading.close()
        self.bar.stop()
        if self.content is not None and self.at_its_end is not None:
            self.screen.print(self.at_its_end(self.content))

    def begin(self, seatings: int, finished: int, episodes: int) -> None:
        """The arena has so many seatings, of which ``finished`` are there already."""
        self._open()
        self.seatings, self.at = seatings, finished
        self.bar.update(self.task, total=seatings * episodes, completed=finished * episodes)
        if finished:
            say(self.screen, f"{finished} of {seatings} seatings are there already")

    def setting(self, number: int, count: int, setting: Setting) -> None:
        """An arena of several begins."""
        self._open()
        say(self.screen, f"{setting.game}, {setting.mechanism} ({number} of {count})")

    def compared(self, content: Mapping[str, Any]) -> None:
        """An arena of several is finished; the content has all so far."""
        self.content = content

    def seating(self, names: Sequence[str]) -> None:
        """A seating begins."""
        self.at += 1
        line = f"seating {self.at} of {self.seatings}: {sitting(names)}"
        self.bar.update(self.task, description=line)
        if not self.screen.is_terminal:
            say(self.screen, line)

    def episode(self) -> None:
        """An episode is finished."""
        self.bar.advance(self.task)

    def _open(self) -> None:
        self.loading.close()
        if self.opening:
            say(self.screen, self.opening)
        self.opening = ""
