"""How a run looks while it trains: bars and a table in a terminal, one plain line now and then anywhere else.

Reads the metrics of each iteration (slash names, points per round) and asks the run for nothing. Must not import torch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from detente import games
from detente.config import Config
from detente.games import Measure
from detente.games.roles import in_role, prefix, roles
from detente.learning.watchers import Watcher
from detente.rotation import own_seats
from detente.screen import Screen
from detente.visible import visible

MISMATCH = "mismatch/kl"
NOTABLE = 0.01  # the share of invalid answers from which on it is said
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass
class Progress(Watcher):
    """Told by the training loop what happened; use it as a context manager so that the terminal is always given back.

    ``every_s``: seconds between two plain lines. ``clock``: seconds, increasing. ``afterwards``: what comes after the end.
    ``about``: a line that says what trains, once nothing was wrong with its options.
    """

    console: Console = field(default_factory=Screen)
    every_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    afterwards: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        self._live: Live | None = None
        self.wish = ""

    def __enter__(self) -> Progress:
        self._wait("loading the model")
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def start(self, config: Config, run: Path, first_iteration: int) -> None:
        """Training begins (or goes on) after ``first_iteration`` finished iterations."""
        self.config, self.run = config, run
        game = games.configured(config.game, config.measures)
        self.bounds, self.measures = game.reward_bounds, games.family_of(game).measures
        self.columns = columns(self.measures, "self-play" if len({*config.seats}) == 1 else "with each other")
        self.done, self.episodes = first_iteration, 0
        self.metrics: dict[str, Any] = {}
        named = roles(game)
        self.rows = {  # what is shown of whom: the prefix of its metrics, and the learner
            in_role(name, role): (prefix(role), name)
            for name in config.learner_names
            for role in ([named[seat] for seat in own_seats(config, name, game.num_players)] if named else [""])
        }
        self.rewards: dict[str, list[float]] = {label: [] for label in self.rows}
        # When the last iterations ended: the rate follows the present, not the average.
        self.ends = deque([self.clock()], maxlen=21)
        self.said = -float("inf")
        self.doing = ""
        self._stop()
        if self.about:
            self._say(self.about)
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._picture, console=self.console, refresh_per_second=4)
            self._live.start()
        elif first_iteration:
            self._note(f"going on after iteration {first_iteration}")

    def episode(self) -> None:
        """One more training episode finished; the first of the next rollout begins a new count."""
        self.episodes = self.episodes % self.config.episodes + 1

    def iteration(self, metrics: dict[str, Any]) -> None:
        """An iteration finished; ``metrics`` is its line of metrics.jsonl."""
        self.done, self.doing = self.done + 1, ""
        if not self.config.overlap:  # with it the next rollout has been played beside the update
            self.episodes = 0
        self.ends.append(self.clock())
        self.metrics |= {key: value for key, value in metrics.items() if value is not None}
        for label, values in self.rewards.items():
            if (reward := metrics.get(self._key("reward/{}", label))) is not None:
                values.append(reward)
        if self._live is None and (self.ends[-1] - self.said >= self.every_s or self.done == self.config.iterations):
            self.said = self.ends[-1]
            self._note(self._line())

    def evaluating(self, name: str) -> None:
        """The part of an evaluation that is called ``name`` begins."""
        if self._live is None and not self.doing:
            self._note("evaluating")
        self.doing = f"evaluating: {name}"

    def stopping(self) -> None:
        """Ctrl-C was heard."""
        self.wish = "stopping after this iteration is saved; Ctrl-C again stops at once"
        if self._live is None:
            self._note(self.wish)

    def finish(self, summary: dict[str, Any]) -> None:
        """The run is complete; ``summary`` is its summary.json."""
        self.doing = ""
        self._stop()
        for name, result in summary["learners"].items():
            if not result["self_play"]:  # no evaluation was asked for
                continue
            title = Text(visible(f"\n{name} ({result['algorithm']}), points per round"))
            self.console.print(Group(title, _scores(result, name, self.measures)))
        if self.afterwards:
            if not self.console.is_terminal:
                self._say(self.afterwards)
            self._wait(self.afterwards)

    def _wait(self, what: str) -> None:
        """In a terminal, a line that moves while nothing else can be shown."""
        if self.console.is_terminal and self._live is None:
            self._live = Live(Spinner("dots", Text(what)), console=self.console, transient=True)
            self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _note(self, line: str) -> None:
        """A plain line that says which run it is about, as several may write to one terminal."""
        self._say(f"{self.run.name}: {line}")

    def _say(self, line: str) -> None:
        self.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    @property
    def _per_minute(self) -> float:
        """Iterations a minute over the last iterations; 0 before the first has ended."""
        elapsed = self.ends[-1] - self.ends[0]
        return 60 * (len(self.ends) - 1) / elapsed if elapsed > 0 else 0.0

    def _pace(self) -> str:
        if not self._per_minute:
            return ""
        left = timedelta(minutes=(self.config.iterations - self.done) / self._per_minute)
        return f"{self._per_minute:.1f} a minute, {str(left).partition('.')[0]} left"

    def _mismatch(self) -> str:
        return f"engine-learner mismatch {self.metrics[MISMATCH]:.1e}" if MISMATCH in self.metrics else ""

    def _invalid(self) -> str:
        shares = {name: self.metrics.get(f"invalid/{name}") or 0.0 for name in self.config.learner_names}
        notices = [f"{share:.0%} of {name}'s answers were invalid" for name, share in shares.items() if share >= NOTABLE]
        return ", ".join(notices)

    def _key(self, metric: str, label: str) -> str:
        """The name of a metric, {} standing for the learner, of a row."""
        head, name = self.rows[label]
        return head + metric.format(name)

    def _columns(self) -> list[str]:
        return [head for head, key in self.columns.items() if any(self._key(key, label) in self.metrics for label in self.rows)]

    def _cell(self, heading: str, label: str) -> str:
        return _number(self.metrics.get(self._key(self.columns[heading], label)))

    def _line(self) -> str:
        cells = {label: [f"{head} {cell}" for head in self._columns() if (cell := self._cell(head, label))] for label in self.rows}
        learners = (f"{label}: {', '.join(own) or 'nothing to train on yet'}" for label, own in cells.items())
        parts = [f"iteration {self.done}/{self.config.iterations}", self._pace(), *learners, self._invalid(), self._mismatch()]
        return "; ".join(filter(None, parts))

    def _picture(self) -> RenderableType:
        config = self.config
        bars = Table.grid(padding=(0, 1))
        bars.add_row("iterations", _bar(self.done, config.iterations), f"{self.done}/{config.iterations}", self._pace())
        bars.add_row("episodes", _bar(self.episodes, config.episodes), f"{self.episodes}/{config.episodes}", Text(self.doing))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("learner")
        for heading in self._columns():
            table.add_column(heading, justify="right")
        table.add_column("reward so far")
        for label, values in self.rewards.items():
            cells = (self._cell(head, label) for head in self._columns())
            table.add_row(Text(label), *cells, sparkline(values, *self.bounds))
        return Group(
            Text(f"{config.preset}, {config.algorithms}, {_models(config)}, seed {config.seed}: {self.run}", style="bold"),
            bars,
            table,
            Text(self._mismatch(), style="dim"),
            Text(self._invalid(), style="yellow"),
            Text(self.wish, style="yellow"),
        )


def sparkline(values: Sequence[float], low: float, high: float, width: int = 24) -> str:
    """At most ``width`` blocks, each the mean of an equal share of the values, on the fixed scale from low to high."""
    count = min(width, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)] if count else []
    shares = [values[a:b] for a, b in pairwise(edges)]
    heights = [(sum(share) / len(share) - low) / (high - low) for share in shares]
    return "".join(BLOCKS[min(int(height * len(BLOCKS)), len(BLOCKS) - 1)] for height in heights)


def columns(measures: Iterable[Measure], together: str = "self-play") -> dict[str, str]:
    """Heading -> metric, {} standing for the learner; a column that no learner has a value for is left out.

    ``together`` is what the play of those on the run's seats is called.
    """
    result = {"reward": "reward/{}", together: "self_play/reward/{}"}
    for measure in measures:
        if measure.head:
            result[measure.head] = f"self_play/{measure.name}/{{}}"
        result |= {head: f"{measure.name}/{{}}/{condition}" for condition, head in measure.table.items() if head}
    return result


def _models(config: Config) -> str:
    """The base model, or each learner's where they differ."""
    names, models = list(config.models), list(config.models.values())
    if len({*models}) == 1:
        return f"model {models[0]}"
    return "models " + ", ".join(f"{model} ({name})" for name, model in zip(names, models, strict=True))


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=total, completed=done, width=32)


def _scores(result: dict[str, Any], learner: str, measures: Iterable[Measure]) -> Table:
    """The final evaluation of a learner, where seats differ in each of its roles: a row for each partner in its game, and for each
    scripted strategy in their place."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    in_roles = result.get("roles", {})
    if in_roles:
        table.add_column("as")
    table.add_column("against")
    table.add_column("own", justify="right")
    table.add_column("theirs", justify="right")
    measured = {measure.head: measure.name for measure in measures if measure.head and measure.name in result["self_play"]}
    for heading in measured:
        table.add_column(heading, justify="right")
    for role, scores in (in_roles or {"": result}).items():
        own = scores["self_play"]
        partners = {
            _partner(name, learner, scores["against"]): own | {"opponent_reward": reward}
            for name, reward in scores["partners"].items()
        }
        for opponent, score in [*partners.items(), *scores["against"].items()]:
            numbers = (_number(score.get(name)) for name in ("reward", "opponent_reward", *measured.values()))
            table.add_row(*([Text(role)] if in_roles else []), Text(opponent), *numbers)
    return table


def _partner(name: str, learner: str, strategies: Collection[str]) -> str:
    """Whom a learner shares its game with, told from a strategy of that name in the place of all others."""
    return "itself" if name == learner else f"{name} on its seat" if name in strategies else name


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
