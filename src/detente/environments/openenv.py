"""A game as an OpenEnv environment: a server for one seat, opponents of ours on the others, and the client for it.

    python -m detente.environments.openenv --game ipd --opponent tit_for_tat --port 8000

    reset(seed) ──> {"text", "pattern", "choices"} ── step({"text": an answer}) ──> the same, and the points of ended rounds

Must not import torch.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from typing import Any

from detente.environments.seat import Seat, Table
from detente.errors import UserError
from detente.extras import needing
from detente.games.base import Observation as Told
from detente.together import run

with needing("openenv", "An environment of OpenEnv"):
    from openenv.core import EnvClient
    from openenv.core.client_types import StepResult
    from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app
    from openenv.core.env_server.types import EnvironmentMetadata

SESSIONS = 64  # episodes that one server plays at a time


class Answer(Action):  # type: ignore[misc]
    """What the seat says."""

    text: str


class Question(Observation):  # type: ignore[misc]
    """What the seat is told since it last answered, "" at the end, and what an answer may be. ``valid``: whether its last was."""

    text: str = ""
    pattern: str = ""
    choices: tuple[str, ...] = ()
    valid: bool | None = None


class GameEnvironment(Environment):  # type: ignore[misc]
    """Episodes of a game from one seat."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table, self._rng = table, random.Random()
        self._episode: Seat | None = None
        self._state = State()

    async def reset_async(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Question:
        """Begin the episode of a game seed; of one drawn at random where none is given."""
        self.close()
        seed = self._rng.randrange(1 << 31) if seed is None else seed
        self._episode = self._table.episode(seed)
        self._state = State(episode_id=episode_id or str(seed), step_count=0)
        return self._question(await self._episode.begin(), 0)

    async def step_async(self, action: Answer, timeout_s: float | None = None, **kwargs: Any) -> Question:
        """Play an answer; the reward is what the rounds paid that it ended."""
        if self._episode is None:
            raise UserError("No episode is under way; call reset first.")
        before = len(self._episode.rewards)
        told = await self._episode.answer(action.text)
        self._state.step_count += 1
        return self._question(told, before)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Question:
        """The same for callers that are not async."""
        return run(self.reset_async(seed, episode_id))

    def step(self, action: Answer, timeout_s: float | None = None, **kwargs: Any) -> Question:
        """The same for callers that are not async."""
        return run(self.step_async(action))

    @property
    def state(self) -> State:
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        opponents = ", ".join(str(policy) for place, policy in enumerate(self._table.sitting) if place != self._table.seat)
        description = f"The game {self._table.game.name} on seat {self._table.seat}, against {opponents}."
        return EnvironmentMetadata(name=f"detente-{self._table.game.name}", description=description, version="1.0.0")

    def close(self) -> None:
        """Leave the episode under way."""
        if self._episode is not None:
            self._episode.close()
            self._episode = None

    def _question(self, told: Told | None, before: int) -> Question:
        assert self._episode is not None
        paid = sum(float(rewards[self._table.seat]) for rewards in self._episode.rewards[before:])
        done, valid = told is None, self._episode.valid
        if told is None:
            return Question(done=done, reward=paid, valid=valid)
        return Question(text=told.text, pattern=told.pattern, choices=told.choices, done=done, reward=paid, valid=valid)


class GameClient(EnvClient):  # type: ignore[misc]
    """The client of such a server: ``GameClient(base_url="http://localhost:8000")``, and ``.sync()`` where nothing is async."""

    def _step_payload(self, action: Answer) -> dict[str, Any]:
        return {"text": action.text}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult:
        reward, done = payload.get("reward"), payload.get("done", False)
        return StepResult(observation=Question(**payload["observation"], reward=reward, done=done), reward=reward, done=done)

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(**payload)


def app(game: str, opponent: str | Sequence[str], seat: int = 0, overrides: Sequence[str] = (), sessions: int = SESSIONS) -> Any:
    """The server as an ASGI application, for ``uvicorn.run``."""
    table = Table(game, opponent, seat, overrides)
    return create_fastapi_app(lambda: GameEnvironment(table), Answer, Question, max_concurrent_envs=sessions)


def main() -> None:
    """Serve a game."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m detente.environments.openenv", description="Serve a game for OpenEnv.")
    parser.add_argument("--game", default="ipd", help="a game or a preset by name")
    parser.add_argument("--opponent", action="append", help="who sits on the other seats, as for detente play; again for each seat")
    parser.add_argument("--seat", type=int, default=0, help="the seat that clients play, from 0 on")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("overrides", nargs="*", help="options such as game.rounds=5")
    given = parser.parse_args()
    named = given.opponent or ["tit_for_tat"]
    try:
        server = app(given.game, named[0] if len(named) == 1 else named, given.seat, given.overrides)
    except UserError as error:
        parser.error(str(error))
    uvicorn.run(server, host=given.host, port=given.port)


if __name__ == "__main__":
    main()
