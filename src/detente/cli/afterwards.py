"""What comes after a training: its report, and the commands that go on from there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detente import foreign
from detente.cli.terminal import doing, say
from detente.copies import all_learners, copies
from detente.learning.watchers import Watcher
from detente.rotation import in_turn, players_of

if TYPE_CHECKING:
    from rich.console import Console

    from detente.config import Config

SCRIPTS = 2  # beside the agents of an arena


class Afterwards(Watcher):
    """Writes the report of a run that is complete, and says where it is and what to do next."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen

    def start(self, config: Config, run: Path, first_iteration: int) -> None:
        """Remember which run it is."""
        self.config, self.run = config, run

    def finish(self, summary: dict[str, Any]) -> None:
        """Write and say it."""
        from detente import reports

        with doing(self.screen, f"Drawing the report of {self.run}"):
            page = reports.report([self.run])
        say(self.screen, f"Wrote {page}; next, for example:")
        for line in next_commands(self.config, self.run, summary):
            say(self.screen, f"  {line}")


def next_commands(config: Config, run: Path, summary: dict[str, Any]) -> list[str]:
    """A match of a person with a learner, an arena of the learners with scripts that they were evaluated against, and how the first
    learner is published."""
    names = all_learners(config)
    agents = {name: str(run) if len(names) == 1 else f"{run}/adapters/{name}" for name in names}
    sitting = in_turn(config, players_of(config))[0]
    seats = [agents[copies(config, name)[0]] if name in config.learner_names else name for name in sitting]
    able = [seat for seat in range(len(seats)) if {*config.learner_names} & {*sitting[:seat], *sitting[seat + 1 :]}]
    if able:  # a person takes the last seat that leaves a learner on another
        seats[able[-1]] = "human"
    scripts = list(summary["learners"][config.learner_names[0]]["against"])[:SCRIPTS]
    lists = {"play": ("--seats", seats if able else []), "arena": ("--agents", [*agents.values(), *scripts])}
    trust = ["--trust"] if any(foreign.named(config.model_dump())) else []
    played = [
        ["detente", command, str(run), option, _list(names), *trust] for command, (option, names) in lists.items() if names[1:]
    ]
    return [shlex.join(words) for words in [*played, ["detente", "push", next(iter(agents.values())), "USER/NAME"]]]


def _list(names: Iterable[str]) -> str:
    """The names with commas between them; what means something in such a list stands behind a backslash."""
    return ",".join(re.sub(r'([\\,"])', r"\\\1", name) for name in names)
