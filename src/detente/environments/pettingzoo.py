"""Any game as a PettingZoo environment: ``parallel_env("ipd", rounds=10)``.

    game ── reset(seed) ──> {"text": what an agent is told, "action_mask": ...} ── step(actions) ──> the same, and rewards

Every agent is in every step. One that is not asked, while another speaks, may give any action or none: it is told what is new with
its next question. Must not import torch.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from detente.errors import UserError, counted
from detente.extras import needing
from detente.games import make
from detente.games.base import Game, Observation
from detente.games.guard import brief, guarded
from detente.records import Completion, PolicyRef
from detente.rollout import Course

with needing("pettingzoo", "An environment of PettingZoo"):
    import numpy as np
    from gymnasium import spaces
    from pettingzoo import ParallelEnv

Answers = Literal["index", "text"]
LONGEST = 1 << 16  # characters of an observation
LONGEST_ANSWER = 1 << 12
PROBES = 20  # episodes of random answers that show what a game asks


def parallel_env(game: str | Game, answers: Answers | None = None, render_mode: str | None = None, **parameters: Any) -> GameEnv:
    """The game, by name with its parameters or made already, as a ``pettingzoo.ParallelEnv``.

    ``answers``: "index", the place of an answer in ``infos[agent]["choices"]``, or "text". None means the former where every
    question of the game lists its answers. Other wrappers of PettingZoo apply: ``pettingzoo.utils.parallel_to_aec``.
    """
    rules = make(game, **parameters) if isinstance(game, str) else game
    if not isinstance(game, str) and parameters:
        raise UserError(f"The game {rules.name} is made already and takes no parameters: {', '.join(parameters)}.")
    if answers not in (None, "index", "text"):
        raise UserError(f"answers is 'index' or 'text', not {brief(answers)}.")
    if render_mode not in (None, "ansi"):
        raise UserError(f"render_mode is None or 'ansi', not {brief(render_mode)}.")
    most = None if answers == "text" else most_choices(rules)
    if answers == "index" and most is None:
        raise UserError(f"Not every question of {rules.name} lists its answers; use answers='text'.")
    return GameEnv(rules, most, render_mode)


def most_choices(game: Game) -> int | None:
    """The greatest number of answers that a question of the game lists; None where one lists none. Found by random play."""
    most = 0
    for seed in range(PROBES):
        course, rng = Course(game, seed), random.Random(seed)
        while not course.done:
            seen = course.look()
            choices = [seen[player].choices for player in course.acting]
            if not all(choices):
                return None
            most = max(most, *map(len, choices))
            course.take([Completion(rng.choice(listed), PolicyRef("script", "random")) for listed in choices])
    return most


class AnyText(spaces.Text):  # type: ignore[misc]
    """Texts up to a length, of whatever characters: players may say anything. Samples have letters and digits."""

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length


class GameEnv(ParallelEnv):  # type: ignore[misc]
    """A game between agents ``player_0``, ``player_1`` and so on. ``most``: how many answers a question lists; None for texts.

    Of each agent, ``infos`` says whether it is ``asked`` now, the ``pattern`` of an answer and its ``choices``, and whether its
    last answer was ``valid``; for one that was not the game's default action was played. A step that ends no round pays 0.
    """

    def __init__(self, game: Game, most: int | None, render_mode: str | None = None) -> None:
        self.game, self.most, self.render_mode = guarded(game), most, render_mode
        self.metadata = {"name": f"{game.name}_v0", "render_modes": ["ansi"], "is_parallelizable": True}
        self.possible_agents = [f"player_{player}" for player in range(game.num_players)]
        self.agents: list[str] = []
        parts = {"text": AnyText(LONGEST, min_length=0)} | ({} if most is None else {"action_mask": spaces.MultiBinary(most)})
        self._observation_spaces = {agent: spaces.Dict(parts) for agent in self.possible_agents}
        self._action_spaces = {
            agent: AnyText(LONGEST_ANSWER, min_length=0) if most is None else spaces.Discrete(most)
            for agent in self.possible_agents
        }
        self._rng = random.Random()
        self._course: Course | None = None
        self._seen: Sequence[Observation] = ()

    def observation_space(self, agent: str) -> spaces.Space:
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        return self._action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode: that of a game seed, or the next one after it. ``options`` are not looked at."""
        if seed is not None:
            self._rng = random.Random(int(seed))
        game_seed = self._rng.randrange(1 << 31) if seed is None else int(seed)
        self._course = Course(self.game, game_seed)
        self.agents = list(self.possible_agents)
        self._seen = self._course.look()
        return self._observations(), self._infos({})

    def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """Observations, rewards, terminations, truncations and infos of all agents, after an action of each that is asked."""
        course = self._course
        if course is None or course.done:
            raise UserError(f"There is no episode of {self.game.name} under way; call reset first.")
        asked = [self.possible_agents[player] for player in course.acting]
        if missing := [agent for agent in asked if agent not in actions]:
            raise UserError(f"An action of each agent that is asked is needed; there is none of {', '.join(missing)}.")
        texts = [
            self._answer(agent, self._seen[player], actions[agent]) for agent, player in zip(asked, course.acting, strict=True)
        ]
        rounds = len(course.rounds)
        turns = course.take([Completion(text, PolicyRef("remote", agent)) for agent, text in zip(asked, texts, strict=True)])
        paid = course.rounds[-1].rewards if len(course.rounds) > rounds else (0.0,) * self.game.num_players
        self._seen = () if course.done else course.look()
        everybody = self.possible_agents
        self.agents = [] if course.done else list(everybody)
        return (
            self._observations(),
            {agent: float(reward) for agent, reward in zip(everybody, paid, strict=True)},
            dict.fromkeys(everybody, course.done),
            dict.fromkeys(everybody, False),
            self._infos({turn.player: turn.valid for turn in turns}),
        )

    def render(self) -> str | None:
        """What each agent was told last, in the mode "ansi"."""
        if self.render_mode is None:
            return None
        texts = [observation.text for observation in self._seen]
        return "\n\n".join(f"{agent}\n{text}" for agent, text in zip(self.agents, texts, strict=True))

    def _answer(self, agent: str, observation: Observation, action: Any) -> str:
        """The text of an action; "" for a place that no answer of this question has."""
        if self.most is None:
            if not isinstance(action, str):
                raise UserError(f"The action of {agent} is a text, the answer itself, not {brief(action)}.")
            return action
        try:
            place = operator.index(action)
        except TypeError:
            right = f"a whole number below {self.most}, the place of an answer in infos['{agent}']['choices']"
            raise UserError(f"The action of {agent} is {right}, not {brief(action)}.") from None
        return observation.choices[place] if 0 <= place < len(observation.choices) else ""

    def _asks(self, player: int) -> bool:
        return bool(self._course and not self._course.done and player in self._course.acting)

    def _observations(self) -> dict[str, dict[str, Any]]:
        texts = [observation.text for observation in self._seen] or [""] * self.game.num_players
        masks = [{} if self.most is None else {"action_mask": self._mask(player)} for player in range(self.game.num_players)]
        return {agent: {"text": text, **mask} for agent, text, mask in zip(self.possible_agents, texts, masks, strict=True)}

    def _infos(self, valid: Mapping[int, bool]) -> dict[str, dict[str, Any]]:
        return {agent: self._info(player, valid.get(player)) for player, agent in enumerate(self.possible_agents)}

    def _info(self, player: int, valid: bool | None) -> dict[str, Any]:
        asked = self._asks(player)
        question = self._seen[player] if asked else None
        info: dict[str, Any] = {"asked": asked, "valid": valid}
        info |= {"pattern": question.pattern if question else "", "choices": question.choices if question else ()}
        return info if self.most is None else info | {"action_mask": self._mask(player)}

    def _mask(self, player: int) -> Any:
        """(most,) of 0 and 1: the answers of the question; the first place, which does nothing, for an agent that is not asked."""
        if self.most is None:
            return None
        count = len(self._seen[player].choices) if self._asks(player) else 1
        if not 0 < count <= self.most:
            lists = f"{counted(count, 'answer')}, not 1 to {self.most}" if count else "no answers"
            raise UserError(f"A question of {self.game.name} lists {lists}; use answers='text'.")
        return (np.arange(self.most) < count).astype(np.int8)
