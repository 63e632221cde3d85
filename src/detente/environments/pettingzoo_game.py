"""A PettingZoo environment as a game: a function of yours makes it, and another one turns what an agent observes into words.

    environment ── reset, step ──> observations ── render ──> what players are told        answers ──> actions 0, 1, 2 ...

Agents that act at once answer at once (``ParallelEnv``), others in turn (``AECEnv``). Must not import anything above games.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from detente.environments.replayed import Replayed, Seen, Session
from detente.errors import UserError, counted
from detente.games.guard import brief, is_finite, watched

Render = Callable[[str, Any, Mapping[str, Any]], str]


@dataclass(frozen=True)
class PettingZooGame(Replayed):
    """A game from ``environment(**options)``, whose agents are the players, with ``Discrete`` actions.

    ``name`` is where ``detente`` finds the function that makes this game, "my_module:function", and ``options`` are that function's
    parameters. ``render(agent, observation, info)`` says in words what an agent is told after a step, and after the rules at first.
    ``answers[i]`` is what a player says for the action i; an ``action_mask`` in the observation or the info is heeded.
    """

    name: str
    environment: Callable[..., Any]
    render: Render
    answers: tuple[str, ...]
    reward_bounds: tuple[float, float]
    num_players: int = 2
    rounds: int | None = None
    rules: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}

    def open(self, seed: int) -> Session:
        env = self._watched(self.environment, "environment", **self.options)
        agents = list(getattr(env, "possible_agents", ()))
        if len(agents) != self.num_players:
            raise UserError(f"The environment of {self.name} has {len(agents)} agents, and the game {self.num_players} players.")
        sizes = {getattr(env.action_space(agent), "n", None) for agent in agents}
        if sizes != {len(self.answers)} or len(set(self.answers)) != len(self.answers):
            spaces = " and ".join(sorted(str(env.action_space(agent)) for agent in agents))
            given = counted(len(self.answers), "answer")
            raise UserError(f"{self.name} has {given}, and should have one for each action; the actions are {spaces}.")
        episode = InTurn if hasattr(env, "agent_iter") else AtOnce  # an AECEnv, a ParallelEnv
        return episode(self, env, agents, seed)

    def words(self, agent: str, observation: Any, info: Mapping[str, Any]) -> str:
        """What an agent is told."""
        text = self._watched(self.render, "render", agent, observation, info)
        if not isinstance(text, str):
            raise UserError(f"render of the game {self.name} returned {brief(text)}; it should be a text.")
        return text

    def possible(self, observation: Any, info: Mapping[str, Any]) -> tuple[str, ...]:
        """The answers that the mask of an agent allows, all of them without one."""
        inside = observation.get("action_mask") if isinstance(observation, Mapping) else None
        mask = info.get("action_mask", inside)
        allowed = [
            answer for answer, one in zip(self.answers, [1] * len(self.answers) if mask is None else mask, strict=True) if one
        ]
        return tuple(allowed) or self.answers

    def _watched(self, call: Callable[..., Any], where: str, *given: Any, **options: Any) -> Any:
        return watched(lambda: call(*given, **options), f"The game {self.name}", where)()

    def paid(self, rewards: Mapping[str, Any], agents: list[str]) -> tuple[float, ...]:
        """The rewards of all agents, 0 for those without one."""
        paid = tuple(rewards.get(agent, 0) for agent in agents)
        if not all(map(is_finite, paid)):
            raise UserError(f"The environment of {self.name} pays {brief(paid)}, which are no finite numbers.")
        return tuple(map(float, paid))


class AtOnce:
    """An episode of a ``ParallelEnv``."""

    def __init__(self, game: PettingZooGame, env: Any, agents: list[str], seed: int) -> None:
        self._game, self._env, self._agents = game, env, agents
        observations, infos = watched(lambda: env.reset(seed=seed), f"The environment of {game.name}", "reset")()
        self._step = watched(env.step, f"The environment of {game.name}", "step")
        self.seen = self._look(observations, infos, {}, game.rules)

    def step(self, actions: Mapping[int, str]) -> Seen:
        places = {self._agents[player]: self._game.answers.index(text) for player, text in actions.items()}
        observations, rewards, _, _, infos = self._step(places)
        self.seen = self._look(observations, infos, rewards)
        return self.seen

    def _look(self, observations: Any, infos: Any, rewards: Any, before: str = "") -> Seen:
        told, choices = [], []
        for agent in self._agents:
            info = infos.get(agent, {})
            words = self._game.words(agent, observations[agent], info) if agent in observations else ""
            told.append("\n".join(filter(None, (before, words))))
            choices.append(self._game.possible(observations.get(agent), info))
        acting = tuple(player for player, agent in enumerate(self._agents) if agent in self._env.agents)
        return Seen(tuple(told), acting, tuple(choices), self._game.paid(rewards, self._agents), not acting)


class InTurn:
    """An episode of an ``AECEnv``: an agent is told something when it is its turn."""

    def __init__(self, game: PettingZooGame, env: Any, agents: list[str], seed: int) -> None:
        self._game, self._env, self._agents = game, env, agents
        watched(lambda: env.reset(seed=seed), f"The environment of {game.name}", "reset")()
        self._step = watched(env.step, f"The environment of {game.name}", "step")
        self.seen = self._look({}, game.rules)

    def step(self, actions: Mapping[int, str]) -> Seen:
        (answer,) = actions.values()
        self._step(self._game.answers.index(answer))
        rewards = dict(self._env.rewards)
        while self._env.agents and (self._env.terminations[self._now] or self._env.truncations[self._now]):
            self._step(None)
        self.seen = self._look(rewards)
        return self.seen

    @property
    def _now(self) -> str:
        return str(self._env.agent_selection)

    def _look(self, rewards: Any, before: str = "") -> Seen:
        done = not self._env.agents
        now = None if done else self._agents.index(self._now)
        told, choices = [before] * len(self._agents), [self._game.answers] * len(self._agents)
        if now is not None:
            observation, _, _, _, info = self._env.last()
            told[now] = "\n".join(filter(None, (before, self._game.words(self._now, observation, info))))
            choices[now] = self._game.possible(observation, info)
        acting = () if now is None else (now,)
        return Seen(tuple(told), acting, tuple(choices), self._game.paid(rewards, self._agents), done)
