"""Strategies in mechanisms: those of the game inside, which want nothing of the mechanism, and those that use it.

The game inside has its own strategies; a cooperating one and a defecting one of them are what the strategies here choose between.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import wraps
from typing import Any

from detente.games.family import Probabilities, Strategy, any_choice, family_of
from detente.games.mechanisms.views import MechanismView


def reciprocal(view: MechanismView, rng: random.Random) -> str | Probabilities:
    """Cooperate, but defect where somebody did not cooperate in the last round that is told of it."""
    return _inside(view, rng, all(known[-1] is not False for known in view.partners if known))


def unforgiving(view: MechanismView, rng: random.Random) -> str | Probabilities:
    """Cooperate, but defect where somebody did not cooperate in any round that is told of it."""
    return _inside(view, rng, all(False not in known for known in view.partners))


def random_player(view: MechanismView, rng: random.Random) -> str | Probabilities:
    """Any answer, as the random strategy of the game inside draws it."""
    if view.choices:
        return rng.choice(view.choices)
    if view.topic:
        return view.ignoring
    own = family_of(view.game).strategies.get("random")
    return any_choice(view.inside) if own is None else own(view.inside.view, rng)


def signer(view: MechanismView, rng: random.Random) -> str | Probabilities:
    """Propose, vote for and accept a contract under which cooperation is an equilibrium; under one cooperate, else defect."""
    if view.topic == "acceptance":
        return "Accept: yes" if all(view.sound) else "Accept: no"
    return _agreed(view) or _inside(view, rng, bool(view.sound) and view.sound[0])


def delegator(view: MechanismView, rng: random.Random) -> str | Probabilities:
    """Propose and vote for a mediator under whom delegation is an equilibrium; delegate to one, else defect."""
    if not view.topic and view.sound[0]:
        return view.choices[-1]
    return _agreed(view) or _inside(view, rng, False)


def _agreed(view: MechanismView) -> str:
    """The proposal, or the vote, of who wants cooperation; "" where neither is asked for."""
    if view.topic == "vote":
        return f"Vote: {view.sound.index(True) + 1}" if True in view.sound else view.ignoring
    return view.fair


MEETINGS: dict[str, Strategy] = {"reciprocal": reciprocal, "unforgiving": unforgiving}
CONTRACT: dict[str, Strategy] = {"signer": signer}
MEDIATION: dict[str, Strategy] = {"delegator": delegator}
STRATEGIES: dict[str, Strategy] = {"random": random_player} | MEETINGS | CONTRACT | MEDIATION


def of_the_game_inside(game: Any) -> Mapping[str, Strategy]:
    """The strategies of the game inside, as players who want nothing of the mechanism."""
    return {name: unmoved(strategy) for name, strategy in family_of(game).strategies.items() if name != "random"}


def unmoved(strategy: Strategy) -> Strategy:
    """A strategy of the game inside, which plays as if there were no mechanism."""

    @wraps(strategy)
    def plays(view: MechanismView, rng: random.Random) -> str | Probabilities:
        return view.ignoring if view.topic else within(view, strategy(view.inside.view, rng))

    return plays


def within(view: MechanismView, said: str | Probabilities) -> str | Probabilities:
    """An answer of the game inside, where the mechanism lists more choices after those of the game."""
    return said if isinstance(said, str) else (*said, *(0.0 for _ in view.choices[len(said) :]))


def _inside(view: MechanismView, rng: random.Random, cooperate: bool) -> str | Probabilities:
    """What the game's cooperating strategy does, or its defecting one."""
    family = family_of(view.game)
    name = (family.cooperator if cooperate else family.defector)(view.game)
    return within(view, family.strategies[str(name)](view.inside.view, rng))
