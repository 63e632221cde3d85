"""The exact best response to a script that remembers finitely much, and its floor; and what the plans do in play.

family, script ── faces ──> process ── solve ──> plans ── Follower ──> episodes against the script itself
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detente import games
from detente.errors import UserError
from detente.evaluation.exact import Aim, Plan, Response, solve
from detente.evaluation.statistics import Estimate, estimate
from detente.games.base import Game, Observation
from detente.games.decisions import Path, Playable, follow
from detente.games.family import Strategy, family_of, measures
from detente.games.sides import Side
from detente.matches import Guest, Probes, Scripts, play_sync
from detente.players.scripted import scripted
from detente.records import Completion, PolicyRef, Seating

EPISODES = 128  # to see what a plan does


@dataclass(frozen=True)
class AgainstScript:
    """Responses over at most ``rounds`` rounds: the best, the most harmful, and that of the family's cooperator if it has one.

    ``states``: how many there are in which a round can begin. ``earned`` are the totals of the best responder in play, ``left``
    those of the script against the harmful one; ``play`` and ``harmful_play`` what the two do, in words.
    """

    rounds: int
    continuation: float | None
    states: int
    best: Response
    harmful: Response
    cooperator: Response | None
    play: str
    harmful_play: str
    earned: Estimate
    left: Estimate


def against_script(game: Game, policy: PolicyRef, seat: int) -> AgainstScript:
    """Everything exact against a script on ``seat``. UserError where it has no finite description."""
    script = scripted(policy.name, 0, game).strategy if policy.kind == "script" else None
    process = None if script is None else family_of(game).faces(game, script, seat, None)
    if process is None or script is None:
        raise UserError(
            "Exact values need a matrix game such as ipd, or a splitting game and a script that says what it remembers, not "
            f"{policy} in {game.name}."
        )
    best, harmful = _solved(process), _solved(process, "harm")
    played = [_in_play(game, policy, process, response.plan, seat) for response in (best, harmful)]
    return AgainstScript(
        rounds=process.rounds,
        continuation=process.continuation,
        states=len({state for _, state, _ in best.plan}),
        best=best,
        harmful=harmful,
        cooperator=_cooperating(game, script, seat),
        play=_words(game, played[0]),
        harmful_play=_words(game, played[1]),
        earned=_total(game, process.rounds, played[0]),
        left=_total(game, process.rounds, [(episode, seat) for episode, _ in played[1]]),
    )


def _solved(process: Playable, aim: Aim = "own") -> Response:
    return solve(process, process.rounds, continuation=process.continuation, aim=aim)


def _cooperating(game: Game, script: Strategy, seat: int) -> Response | None:
    family = family_of(game)
    name = family.cooperator(game)
    process = None if name is None else family.faces(game, script, seat, family.strategies[name])
    return None if process is None else _solved(process)


def _in_play(game: Game, policy: PolicyRef, process: Playable, plan: Plan, seat: int) -> list[Side]:
    """The sides of the plan, played against the script."""
    planned = PolicyRef("script", "plan")
    seats = Guest(Scripts(game), planned, lambda: Follower(planned, process, plan, process.start))
    sitting = (planned, policy) if seat == 1 else (policy, planned)
    seatings = [Seating(sitting, group=index, index=index) for index in range(EPISODES)]
    return [(episode, 1 - seat) for episode in play_sync(seats, game, seatings, stream=Probes(seat))]


def _total(game: Game, rounds: int, sides: list[Side]) -> Estimate:
    low, high = game.reward_bounds
    bounds = min(low, rounds * low), max(high, rounds * high)
    return estimate([[sum(episode.rewards(seat))] for episode, seat in sides], bounds)


def _words(game: Game, sides: list[Side]) -> str:
    """What the family measures."""
    seen = {name: value for name, value in measures(game, sides).items() if "/" not in name and name not in ("reward", "invalid")}
    return ", ".join(f"{games.words(name)} {value:.2f}" for name, value in seen.items() if value is not None)


@dataclass
class Follower:
    """Plays a plan of a process, for one episode. ``path`` is what it was told and has answered since ``state``."""

    policy: PolicyRef
    process: Playable
    plan: Plan
    state: Any
    path: Path = ()
    rounds: int = 0

    async def act(self, observation: Observation) -> Completion:
        """The plan's answer."""
        return self._answered(observation)

    def recall(self, observation: Observation, completion: Completion) -> None:
        """What it answered was what the plan says."""
        self._answered(observation)

    def _answered(self, observation: Observation) -> Completion:
        rounds, ended, now = self.process.tells(observation.view)
        if rounds > self.rounds:
            self.state = follow(self.process, self.state, (*self.path, ended))
            self.path, self.rounds = (), rounds
        answer = self.plan[self.rounds, self.state, (*self.path, now)]
        self.path = (*self.path, now, answer)
        return Completion(self.process.says(observation.view, answer), self.policy)

    def close(self) -> None:
        """Nothing is kept."""
