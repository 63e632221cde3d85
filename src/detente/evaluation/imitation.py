"""An agent's preferences by imitation: a learner trains until a discriminator cannot tell what it does from what the agent did.

    iteration ── its episodes ──> one step of the discriminator ── reward f - log pi ──> the update of the next iteration

The discriminator takes D = e^f / (e^f + pi) for the probability that a choice is the agent's, with f = w . features - a level for
each situation, and pi the learner's probability of the choice (adversarial inverse reinforcement learning: Fu, Luo and Levine,
2018; for several agents: Yu, Song and Ermon, 2019). Features are what an action brings on average after that joint move, as in
``preferences``, less the mean of all actions. The learner looks no further than the present round (credit.gamma=0), for with
foresight a potential of the next joint move explains the same choices as any reward. The loop that trains is that of every run;
what the discriminator knows follows from the run's own episodes, so that it is there again when a run goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detente import stored
from detente.config import Config
from detente.errors import UserError, counted
from detente.evaluation.choices import FEATURES, Choice, Floats, Situation, choices_at, features
from detente.evaluation.preferences import FORMS, Form
from detente.files import replace_text
from detente.games import configured, family_of
from detente.learning import shaping
from detente.learning.loop import train
from detente.learning.run_folder import ANOTHER, RunFolder
from detente.learning.variation import possible_games
from detente.learning.watchers import Watcher
from detente.playable import options_of
from detente.records import Episode, read_episodes

FILE = "imitation.json"  # of the run folder: what its learner imitates
REWARD = "imitation"
LEARNER = {
    "algorithm": "reinforce",
    "reward": REWARD,
    "credit.gamma": "0",
    "credit.reward_divisor": "1",
    "loss.entropy": "0",
    "loss.entropy_final": "null",
    "record.episodes_every": "1",
}
STEP = 0.3  # of a Newton step of the discriminator
RIDGE = 1e-5  # of its curvature
RAREST = 1e-6  # a smaller probability counts as this


class Imitation(Watcher):
    """A discriminator between the choices of an agent and those of the learner of a run that it watches; ``reward`` is what that
    learner trains on."""

    def __init__(self, choices: Sequence[Choice], form: Form) -> None:
        self.names, self.agent, self.target = FORMS[form], list(choices), target(choices, form)
        self.columns = [0, *(FEATURES.index(feature) for feature, _ in self.names.values())]
        self.beliefs = _beliefs(choices)
        self.weights, self.levels = np.zeros(len(self.columns)), dict[Situation, float]()
        self.run: Path | None = None

    def start(self, config: Config, run: Path, first_iteration: int) -> None:
        """Write down what is imitated, and take the steps that were taken in a run that goes on."""
        self.run = run
        replace_text(run / FILE, json.dumps(self.target) + "\n")
        for iteration in range(1, first_iteration + 1):
            self.step(self.played(iteration))

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Take a step with what the learner did in the iteration."""
        self.step(self.played(metrics["iteration"]))

    def played(self, iteration: int) -> list[Choice]:
        """The choices of the learner in an iteration, from 1 on."""
        assert self.run is not None, "a run has started"
        episodes = read_episodes(RunFolder(self.run).episodes(iteration))
        return [choice for e in episodes for seat, name in enumerate(e.learners) if name for choice in choices_at(e, seat)]

    def reward(self, episode: Episode) -> list[list[float]]:
        """f - log pi of each choice of the learner, 0 of everything else: (T, P)."""
        rows = [[0.0] * episode.num_players for _ in episode.rounds]
        for seat, name in enumerate(episode.learners):
            for choice in choices_at(episode, seat) if name else ():
                value = float(self._brought(choice.situation)[choice.action] @ self.weights)
                level = self.levels.get(choice.situation, 0.0)
                rows[choice.round][seat] = value - level - math.log(max(choice.chance, RAREST))
        return rows

    def step(self, learned: Sequence[Choice]) -> None:
        """Part of a Newton step that makes the choices of both easier to tell apart (the mean of both sides' cross-entropy); none
        where the learner chose nothing, as where all answers are invalid, or a curriculum scores new settings alone."""
        if not learned:
            return
        situations = list(dict.fromkeys(choice.situation for choice in (*self.agent, *learned)))
        ours, theirs = (shares(choices, situations) for choices in (self.agent, learned))
        log_pi = np.log(np.maximum(policy(learned, situations), RAREST)).ravel()
        brought = np.stack([self._brought(situation) for situation in situations])  # (S, A, F)
        levels = -np.repeat(np.eye(len(situations)), brought.shape[1], axis=0)
        inputs = np.hstack([brought.reshape(-1, brought.shape[-1]), levels])  # (S A, F + S)
        known = np.concatenate([self.weights, [self.levels.get(situation, 0.0) for situation in situations]])
        agents = 1 / (1 + np.exp(log_pi - inputs @ known))
        gradient = inputs.T @ (ours.ravel() * (1 - agents) - theirs.ravel() * agents) - RIDGE * known
        curvature = (inputs.T * ((ours + theirs).ravel() * agents * (1 - agents))) @ inputs + RIDGE * np.eye(len(known))
        known = known + STEP * np.linalg.solve(curvature, gradient)
        self.weights = known[: len(self.columns)]
        self.levels = dict(zip(situations, map(float, known[len(self.columns) :]), strict=True))

    def result(self, iterations: int) -> dict[str, Any]:
        """The ratios of the recovered reward (None where own points do not count), and how far the two policies are apart: the
        total variation of the next move, a mean over what the agent met, and both policies after each last joint move.

        The learner's policy is that of the newest iteration with choices; UserError where there is none."""
        own = float(self.weights[0])
        ratios = {
            name: float(sign * weight / own) if own > 0 else None
            for (name, (_, sign)), weight in zip(self.names.items(), self.weights[1:], strict=True)
        }
        learned = next(filter(None, map(self.played, range(iterations, 0, -1))), [])
        if not learned:
            raise UserError(
                f"The learner in {self.run} has made no choice yet that it trained on: its answers were invalid, or a curriculum "
                "scored new settings alone; raise iterations."
            )
        situations = list(dict.fromkeys(choice.situation for choice in self.agent))
        apart = abs(policy(self.agent, situations) - policy(learned, situations)).sum(1) / 2
        met = shares(self.agent, situations).sum(1)
        return {"ratios": ratios, "own": own, "distance": float(apart @ met / met.sum()), "after": after(self.agent, learned)}

    def _brought(self, situation: Situation) -> Floats:
        """(A, F) what each action brings on average, less the mean of all."""
        stage, seat, last = situation
        beliefs = self.beliefs.get((seat, last), self.beliefs[()])
        brought = np.array(
            [
                sum(share * np.array(features(stage, seat, own, moves)) for moves, share in beliefs.items())
                for own in range(len(stage.actions))
            ]
        )[:, self.columns]
        centred: Floats = brought - brought.mean(0)
        return centred


def imitated(
    choices: Sequence[Choice], form: Form, config: Config, run: Path, *, watchers: Sequence[Watcher] = ()
) -> dict[str, Any]:
    """Train a learner to imitate an agent in a run folder, or go on with that, and say what reward it was trained on; see
    ``Imitation.result``. UserError for a run that imitates something else."""
    imitation = Imitation(choices, form)
    _check_same_target(run, imitation.target)
    with shaping.offered(REWARD, imitation.reward):
        train(config, run, watchers=[*watchers, imitation])
    return imitation.result(config.iterations) | {"iterations": config.iterations}


def target(choices: Sequence[Choice], form: Form) -> dict[str, Any]:
    """What imitating these choices is told from imitating others by; from which source they are makes no difference."""
    lines = sorted(map(_line, choices))
    return {"choices": len(choices), "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest(), "form": form}


def _line(choice: Choice) -> str:
    stage, seat, last = choice.situation
    return repr((stage.actions, stage.terms, seat, last, choice.action, choice.others, choice.probabilities, choice.chance))


def _check_same_target(run: Path, wanted: dict[str, Any]) -> None:
    """UserError where the run in a folder has trained to imitate something else."""
    if not RunFolder(run).has_trained or (begun := stored.imitated(run / FILE)) == wanted:
        return
    old = "does not say what its learner imitates" if begun is None else f"imitates {_target_in_words(begun)}"
    raise UserError(
        f"The run {run} {old}, and not these {_target_in_words(wanted)}; {ANOTHER}, or repeat the agent, episodes, versions and "
        "form that it was started with."
    )


def _target_in_words(known: dict[str, Any]) -> str:
    return f"{counted(known['choices'], 'choice')} in the form {known['form']}"


def learner_config(preset: str, overrides: Sequence[str], choices: Sequence[Choice], *, trust: bool = False) -> Config:
    """The options of the learner: those of a preset or a run folder, apart from what imitation decides by itself.

    UserError for options that it decides, for several learners, and where the agent met payoffs that the learner would not.
    """
    for item in overrides:
        if item.partition("=")[0] in LEARNER:
            raise UserError(f"Imitation decides by itself what its learner is rewarded for, and how; leave out '{item}'.")
    config = options_of(preset, [*(f"{key}={value}" for key, value in LEARNER.items()), *overrides], trust=trust)
    if len(config.learner_names) != 1:
        names = ", ".join(config.learner_names)
        raise UserError(f"One learner imitates the agent, and {preset} has several, {names}; give seats that name one of them.")
    games = [game for later in possible_games(config).values() for game in later] or [configured(config.game)]
    if {stage for stage, _, _ in (choice.situation for choice in choices)} - {family_of(game).stage_game(game) for game in games}:
        raise UserError(
            f"The agent met payoffs that training with {preset} does not have; name the run that it comes from, or give these "
            "payoffs as vary.payoffs.choices=[TABLE,TABLE]."
        )
    return config


def shares(choices: Sequence[Choice], situations: Sequence[Situation]) -> Floats:
    """(S, A) the share of choices that were each action in each situation; half of all there is, for one side of two."""
    counts = np.zeros((len(situations), len(situations[0][0].actions)))
    number = {situation: place for place, situation in enumerate(situations)}
    for choice in choices:
        if choice.situation in number:
            counts[number[choice.situation], choice.action] += 1
    return counts / (2 * len(choices))


def policy(choices: Sequence[Choice], situations: Sequence[Situation]) -> Floats:
    """(S, A) the mean probability of each action in each situation, drawn a little to that in all of them, which it is where the
    situation never occurred."""
    number = {situation: place for place, situation in enumerate(situations)}
    sums, times = np.zeros((len(situations), len(situations[0][0].actions))), np.zeros((len(situations), 1))
    overall = np.mean([_probabilities(choice) for choice in choices], axis=0)
    for choice in choices:
        if choice.situation in number:
            sums[number[choice.situation]] += _probabilities(choice)
            times[number[choice.situation]] += 1
    means: Floats = (sums + overall) / (times + 1)
    return means


def after(agent: Sequence[Choice], learned: Sequence[Choice]) -> dict[str, list[list[float]]]:
    """Of each last joint move of the agent's the mean probabilities of the next action, the agent's and the learner's."""
    lasts = sorted({choice.situation[2] for choice in agent} & {choice.situation[2] for choice in learned})
    return {_words(agent[0], last): [_mean_after(choices, last) for choices in (agent, learned)] for last in lasts}


def _mean_after(choices: Sequence[Choice], last: tuple[int, ...]) -> list[float]:
    means: list[float] = np.mean([_probabilities(choice) for choice in choices if choice.situation[2] == last], axis=0).tolist()
    return means


def _words(choice: Choice, last: tuple[int, ...]) -> str:
    """A joint move as it reads, such as ``C D``; ``start`` where there is none."""
    actions = choice.situation[0].actions
    return " ".join(str(actions[move]) for move in last) or "start"


def _probabilities(choice: Choice) -> Floats:
    """(A,) of each action: the agent's own where they are known, else all on what it chose."""
    if choice.probabilities:
        return np.array(choice.probabilities)
    chosen: Floats = np.eye(len(choice.situation[0].actions))[choice.action]
    return chosen


def _beliefs(choices: Sequence[Choice]) -> dict[tuple[Any, ...], dict[tuple[int, ...], float]]:
    """How often the others did what, by seat and last joint move; under () of all of them."""
    counts: dict[tuple[Any, ...], Counter[tuple[int, ...]]] = {(): Counter()}
    for choice in choices:
        _, seat, last = choice.situation
        for key in ((), (seat, last)):
            counts.setdefault(key, Counter())[choice.others] += 1
    return {key: {moves: times / count.total() for moves, times in count.items()} for key, count in counts.items()}
