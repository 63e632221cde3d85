"""The agents of an evaluation: from names to loaded policies with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detente.briefing import PREFIX, parsed, unbriefed
from detente.config import read
from detente.copies import copies
from detente.errors import UserError
from detente.files import short_names
from detente.games.base import Game
from detente.games.family import seats_for
from detente.games.roles import roles
from detente.policies import Policies
from detente.records import PolicyRef
from detente.rotation import own_seats


@dataclass(frozen=True)
class Agent:
    """A policy that is evaluated: ``name`` as a person typed it, ``label`` a short form of it, ``weights`` the fingerprint of an
    adapter's files or of a base model, ``earlier`` that of a base model in earlier versions; it takes the ``seats``.
    """

    name: str
    label: str
    policy: PolicyRef
    seats: tuple[int, ...]
    weights: str | None = None
    earlier: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "label": self.label, "kind": self.policy.kind, "version": self.policy.version}


def participants(policies: Policies, names: Sequence[str], *, anywhere: bool = False) -> list[Agent]:
    """The agents of these names, loaded; UserError for a name that does not exist, is a person or comes twice.

    ``anywhere`` lets them take seats for which they were not trained, too.
    """
    for name in names:
        if not name:
            raise UserError("An agent has no name; separate names by single commas, e.g. --agents tit_for_tat,runs/x.")
        if names.count(name) > 1:
            raise UserError(f"The agent {name} is named twice.")
        if name == "human":
            raise UserError("A person cannot take part here; use 'detente play' instead.")
    resolved = [policies.resolve(name) for name in names]
    same = [
        (policies.folders[policy].resolve() if policy in policies.folders else policy, policies.briefing(policy))
        for policy in resolved
    ]
    for i, identity in enumerate(same):
        if identity in same[:i]:
            raise UserError(f"The agents {names[same.index(identity)]} and {names[i]} are the same.")
    described = zip(names, labels(names, resolved), resolved, strict=True)
    return [
        Agent(
            name,
            label,
            policy,
            seats_of(policies.game, policy, None if anywhere else policies.folders.get(policy)),
            policies.weights(policy),
            policies.earlier_weights(policy),
        )
        for name, label, policy in described
    ]


def check_others(game: Game) -> None:
    """UserError for a game in which nobody is met."""
    if game.num_players < 2:
        raise UserError(f"The game {game.name} has one player, who meets nobody.")


def seats_of(game: Game, policy: PolicyRef, folder: Path | None) -> tuple[int, ...]:
    """The seats that an agent takes, from 0: a strategy those that it can play; where seats differ an adapter those of its learner
    in a run of this game; every other policy all seats."""
    if policy.kind == "script":
        return seats_for(game, policy.name)
    trained = trained_seats(game, folder) if folder is not None and roles(game) else ()
    return trained or tuple(range(game.num_players))


def trained_seats(game: Game, folder: Path) -> tuple[int, ...]:
    """The seats of the learner whose adapter lies in RUN/adapters/LEARNER/VERSION; () where that is no run of this game."""
    place = folder.resolve()
    options = place.parents[2] / "config.yaml" if len(place.parents) > 2 else place
    if place.parent.parent.name != "adapters" or not options.is_file():
        return ()
    config = read(options)
    learner = next((name for name in config.learner_names if place.parent.name in copies(config, name)), None)
    fits = config.opponents.rotate or len(config.seats) == game.num_players
    if config.game["name"] != game.parameters()["name"] or learner is None or not fits:
        return ()
    return tuple(own_seats(config, learner, game.num_players))


def labels(names: Sequence[str], policies: Sequence[PolicyRef]) -> list[str]:
    """Short names for people: the end of a folder that tells it from the others, a remote model without its address; then the name
    of a briefing."""
    readers = [unbriefed(name) for name in names]
    short_labels = _labels(readers, [replace(policy, name=unbriefed(policy.name)) for policy in policies])
    briefed = [", briefed: " + Path(parsed(name)[0]).stem if name.startswith(PREFIX) else "" for name in names]
    short_labels = [f"{label}{text}" for label, text in zip(short_labels, briefed, strict=True)]
    return short_labels if len(set(short_labels)) == len(short_labels) else list(names)


def _labels(names: Sequence[str], policies: Sequence[PolicyRef]) -> list[str]:
    short_labels = [name.partition("@http")[0] for name in names]
    folders = [i for i, policy in enumerate(policies) if policy.kind == "adapter"]
    for i, short in zip(folders, short_names([Path(policies[i].name) for i in folders]), strict=True):
        short = "/".join(Path(policies[i].name).parts[-2:]) if short.isdecimal() else short  # a version says too little
        short_labels[i] = short if names[i] == policies[i].name else f"{short}@{policies[i].version}"
    return short_labels
