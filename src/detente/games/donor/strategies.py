"""Strategies for the donor game: the next gift as a pure function of what was seen."""

from __future__ import annotations

import random

from detente.games.donor.rules import Donor, DonorView
from detente.games.family import Strategy

FINE = 0.1  # the share that an avenger pays


def giver(share: float) -> Strategy:
    """Who gives this share in [0, 1] to anybody."""

    def give(view: DonorView, rng: random.Random) -> str:
        return view.gift(share)

    give.__doc__ = f"Give {100 * share:g}% to anybody."
    return give


def reciprocal(first: float, level: float, slope: float) -> Strategy:
    """Who gives ``first`` where it knows nothing of the recipient, else level + slope * (what that gave last - 1/2), all shares in
    [0, 1]: with slope 0 it minds nobody, with level 1/2 and slope 1 it gives what the recipient gave."""

    def give(view: DonorView, rng: random.Random) -> str:
        share = level + slope * (view.trace[0] / 100 - 0.5) if view.trace else first
        return view.gift(min(1.0, max(0.0, share)))

    give.__doc__ = (
        f"Give {100 * first:g}% at first, then {100 * level:g}% and {slope:g} times what the recipient's last gift was beyond 50%."
    )
    return give


def avenger(view: DonorView, rng: random.Random) -> str:
    """Give 50%, but punish with 10% whoever gave nothing last."""
    return view.punish(FINE) if view.trace and view.trace[0] == 0 else view.gift(0.5)


def any_gift(view: DonorView, rng: random.Random) -> str:
    """Give any share, or where that is possible punish with any, all equally likely."""
    paid = [-level / 100 for level in view.levels[1:]] if view.punishment else []
    share = rng.choice([*paid, *(level / 100 for level in view.levels)])
    return view.gift(share) if share >= 0 else view.punish(-share)


DONOR: dict[str, Strategy] = {
    "giver": giver(1.0),
    "giver_75": giver(0.75),
    "giver_50": giver(0.5),
    "giver_25": giver(0.25),
    "selfish": giver(0.0),
    "reciprocal": reciprocal(0.5, 0.5, 1.0),
    "avenger": avenger,
    "random": any_gift,
}


def can_play(game: Donor, strategy: str) -> bool:
    """Whether a strategy makes sense: one that punishes only where donors may."""
    return strategy != "avenger" or game.punishment
