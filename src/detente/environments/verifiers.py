"""A game as a taskset and environment of verifiers: a task is an episode of a game seed, and the model plays one seat of it.

    vf-eval detente-social-dilemmas --env.taskset.game ipd --env.taskset.opponent tit_for_tat -n 4 -m MODEL

    task (game seed) ── run ──> interaction: what the seat is told <──> its answers ──> the reward: points per round

verifiers finds a taskset by the name of a package, ``detente_social_dilemmas``, which holds nothing else. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from detente.environments.seat import Table
from detente.extras import needing
from detente.players.thoughts import spoken
from detente.rollout import Course

with needing("verifiers", "An environment of verifiers"):
    import verifiers.v1 as vf

EPISODES = 1000  # tasks


class DilemmaConfig(vf.TasksetConfig):  # type: ignore[misc]
    """The game, a preset's too, and who sits on the other seats: one for all or one for each, named as for ``detente play``."""

    game: str = "ipd"
    opponent: str | list[str] = "tit_for_tat"
    seat: int = 0
    seed: int = 0
    overrides: list[str] = []  # noqa: RUF012 (pydantic copies it)


class DilemmaData(vf.TaskData):  # type: ignore[misc]
    """What makes the episode again."""

    info: dict[str, Any]


class DilemmaTask(vf.Task[DilemmaData, vf.State, vf.TaskConfig]):  # type: ignore[misc]
    """An episode of a game seed."""


class DilemmaEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """One agent."""

    player: vf.AgentConfig = vf.AgentConfig()


class DilemmaEnv(vf.Env[DilemmaEnvConfig]):  # type: ignore[misc]
    """Plays an episode with the agent on its seat."""

    async def run(self, task: Any, agents: Any) -> None:
        """The agent's reward is its points per round; ``invalid`` counts its invalid answers, ``opponent_reward`` is theirs."""
        table = table_of(self.taskset.config.model_dump_json())
        episode, invalid = table.episode(task.data.info["seed"]), 0
        told = await episode.begin()
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn()  # the task's prompt is what the seat is told at first
            while told is not None and not segment.terminated:
                told = await episode.answer(spoken(segment.last_reply))
                invalid += not episode.valid
                if told is not None:
                    segment = await interaction.turn(told.text)
        episode.close()
        trace, count = interaction.trace, max(1, len(episode.rewards))
        totals = [sum(points) / count for points in zip(*episode.rewards, strict=True)] or [0.0] * len(table.sitting)
        own = totals.pop(table.seat)
        trace.record_reward("points", own, 1.0)
        trace.record_metric("opponent_reward", sum(totals) / len(totals))
        trace.record_metric("invalid", float(invalid))


class DilemmaTaskset(vf.Taskset[DilemmaTask, DilemmaConfig]):  # type: ignore[misc]
    """Episodes on the game seeds ``seed``, ``seed + 1`` and so on."""

    def load(self) -> Iterator[DilemmaTask]:
        table = table_of(self.config.model_dump_json())
        for index in range(EPISODES):
            seed = self.config.seed + index
            prompt = Course(table.game, seed).look()[table.seat].text
            data = DilemmaData(name=f"{table.game.name}#{seed}", prompt=prompt, info={"seed": seed})
            yield DilemmaTask(data, self.config.task)


@cache
def table_of(config: str) -> Table:
    """The game and its opponents, loaded once; ``config`` is a DilemmaConfig as JSON."""
    given = DilemmaConfig.model_validate_json(config)
    return Table(given.game, given.opponent, given.seat, given.overrides)
