"""A two-player game of TextArena as a game: ``detente.environments.textarena:TextArena``, with the name of its environment.

    environment ── messages to a player since it last answered ──> what it is told ── its answer ──> the environment's step

An episode is one round, as its length may depend on the answers. Must not import anything above games.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from detente.environments.replayed import Replayed, Seen, Session
from detente.errors import UserError, unknown
from detente.extras import needing
from detente.games.guard import brief, watched

PLAYERS = 2


@dataclass(frozen=True)
class TextArena(Replayed):
    """The game ``environment`` of TextArena, such as "IteratedPrisonersDilemma-v0", made with ``options``.

    ``pattern`` is the regular expression that answers match; ``choices`` lists them instead, where they are the same all along.
    ``default`` is played for an invalid answer. TextArena pays -1, 0 or 1 in most games; ``reward_bounds`` says what it can pay.
    """

    environment: str = "IteratedPrisonersDilemma-v0"
    pattern: str = r"[\s\S]{1,1000}"
    choices: tuple[str, ...] = ()
    default: str = "(nothing)"
    reward_bounds: tuple[float, float] = (-1.0, 1.0)
    options: dict[str, Any] = field(default_factory=dict)

    name = "detente.environments.textarena:TextArena"
    num_players = PLAYERS
    rounds = None

    def __post_init__(self) -> None:
        for name in ("choices", "reward_bounds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UserError(f"The parameter game.pattern is no regular expression: {error}.") from None

    def parameters(self) -> dict[str, Any]:
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {"name": self.name, **values}

    def open(self, seed: int) -> Session:
        return Arena(self, seed)


class Arena:
    """An episode of an environment. TextArena draws from Python's own random numbers; the episode has its own state of them."""

    def __init__(self, game: TextArena, seed: int) -> None:
        self._random = random.Random(seed).getstate()
        self._game = game
        with self._own_random():
            self._env = watched(lambda: made(game), f"The game {game.name}", "its environment")()
            watched(lambda: self._env.reset(num_players=PLAYERS, seed=seed), f"The environment {game.environment}", "reset")()
        self.seen = self._look((0.0,) * PLAYERS)

    def step(self, actions: Mapping[int, str]) -> Seen:
        (answer,) = actions.values()
        with self._own_random():
            done, _ = watched(lambda: self._env.step(answer), f"The environment {self._game.environment}", "step")()
        paid = self._env.close()[0] if done else {}
        self.seen = self._look(tuple(float(paid.get(player, 0)) for player in range(PLAYERS)), done)
        return self.seen

    def _look(self, rewards: tuple[float, ...], done: bool = False) -> Seen:
        state = self._env.state
        told = tuple(self._words(player, state.observations.get(player, ())) for player in range(PLAYERS))
        state.observations = {player: [] for player in range(PLAYERS)}
        return Seen(told, () if done else (state.current_player_id,), (self._game.choices,) * PLAYERS, rewards, done)

    def _words(self, player: int, messages: Any) -> str:
        """The messages to a player, without its own."""
        others = {1 - player: f"Player {1 - player}: "}
        return "\n".join(f"{others.get(sender, '')}{text}" for sender, text, *_ in messages if sender != player)

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        outside = random.getstate()
        random.setstate(self._random)
        try:
            yield
        finally:
            self._random = random.getstate()
            random.setstate(outside)


def made(game: TextArena) -> Any:
    """The environment without wrappers, which repeat what was said before; UserError where TextArena has none of that name."""
    with needing("textarena", "A game of TextArena"):
        import textarena
        from textarena.envs.registration import ENV_REGISTRY
    if game.environment not in ENV_REGISTRY:
        raise unknown("environment", game.environment, ENV_REGISTRY, "TextArena")
    raw = f"{game.environment}-raw"
    try:
        return textarena.make(raw if raw in ENV_REGISTRY else game.environment, **game.options)
    except TypeError as error:
        raise UserError(f"The environment {game.environment} does not take the options {brief(game.options)}: {error}.") from error
