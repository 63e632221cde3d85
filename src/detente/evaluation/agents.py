"""Who is evaluated: from the names that were asked for to agents that are loaded, each once, with a label for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detente.config import read
from detente.errors import UserError
from detente.files import short_names
from detente.games.base import Game
from detente.games.family import seats_for
from detente.games.roles import roles
from detente.policies import Policies
from detente.records import PolicyRef


@dataclass(frozen=True)
class Agent:
    """One participant: ``name`` as it was asked for, ``label`` for people, ``weights`` the fingerprint of an adapter's files or of
    a base model; ``earlier`` is what stood for the latter before all of it counted. ``seats``: those that it takes, from 0 on.
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
    """The agents of these names, all of them loaded; UserError where one does not exist, sits at a keyboard or is named twice.

    ``anywhere`` lets them take seats for which they were not trained, too.
    """
    for name in names:
        if not name:
            raise UserError("An agent has no name; separate names by single commas, e.g. --agents tit_for_tat,runs/x.")
        if names.count(name) > 1:
            raise UserError(f"The agent {name} is named twice.")
        if name == "human":
            raise UserError("A person cannot take part here; use 'detente play' instead.")
    found = [policies.resolve(name) for name in names]
    same = [policies.folders[policy].resolve() if policy in policies.folders else policy for policy in found]
    for i, one in enumerate(same):
        if one in same[:i]:
            raise UserError(f"The agents {names[same.index(one)]} and {names[i]} are the same.")
    described = zip(names, labels(names, found), found, strict=True)
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
    """The seats that an agent takes, from 0 on: a strategy those that it can play, where seats differ an adapter those of its
    learner in a run of this game, everybody else all of them."""
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
    if config.game["name"] != game.parameters()["name"] or len(config.seats) != game.num_players:
        return ()
    return tuple(seat for seat, name in enumerate(config.seats) if name == place.parent.name)


def labels(names: Sequence[str], policies: Sequence[PolicyRef]) -> list[str]:
    """Short names for people: the end of a folder that tells it from the others, a remote model without its address."""
    found = [name.partition("@http")[0] for name in names]
    folders = [i for i, policy in enumerate(policies) if policy.kind == "adapter"]
    for i, short in zip(folders, short_names([Path(policies[i].name) for i in folders]), strict=True):
        short = "/".join(Path(policies[i].name).parts[-2:]) if short.isdecimal() else short  # a version says too little
        found[i] = short if names[i] == policies[i].name else f"{short}@{policies[i].version}"
    return found if len(set(found)) == len(found) else list(names)
