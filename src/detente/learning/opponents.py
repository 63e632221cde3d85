"""Who plays whom in an iteration: self-play, kept checkpoints of the learners, scripted strategies.

    shares of the options ── spread evenly over episodes (or groups) ──> Seating: one policy per seat, and who trains on it

Shares are met exactly (to one unit) in every iteration by systematic sampling instead of one coin per episode, which would add
noise to the gradient. In an episode against an opponent one seat trains, and seats take turns, group by group; where opponents take
only some of the other seats, the learner's present versions play on the rest. Where names rotate, a group shares who sits where.
With a curriculum, its plan says who sits opposite.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from detente.config import Config
from detente.copies import all_learners, copies, shared_names
from detente.errors import UserError
from detente.games.base import Game
from detente.games.family import seats_for
from detente.learning.curriculum import Chosen
from detente.options import OpponentOptions
from detente.records import PolicyRef, Seating
from detente.rotation import drawn
from detente.seeding import stream

T = TypeVar("T")
Opposite = Callable[[int, float], PolicyRef | None]  # a seat, a number from [0, 1) -> who takes it in the place of its learner
TRIED = 1000  # updates of which one must find something to train on


def seatings(
    config: Config,
    iteration: int,
    present: Mapping[str, PolicyRef],
    kept: Mapping[str, Sequence[int]],
    game: Game | None = None,
    plan: Sequence[Chosen] = (),
) -> list[list[Seating]]:
    """For every group of the iteration the seating of each of its episodes.

    ``present`` maps every learner and every frozen name in ``config.seats`` to its policy now; ``kept`` maps learners to the
    versions that were kept. Where a learner has copies, the groups go round them. A script takes only seats that it can play in
    ``game``, any seat where no game is given; without one there are as many players as names in ``config.seats``. ``plan``: what a
    curriculum has chosen for each group.
    """
    options = config.opponents
    players = len(config.seats) if game is None else game.num_players
    scripts = [[script for script in options.scripts if game is None or seat in seats_for(game, script)] for seat in range(players)]
    groups = config.episodes // config.group_size
    rng = stream(config.seed, "opponents", iteration)
    pool = {name: rng.sample(list(kept[name]), min(options.max_loaded, len(kept[name]))) for name in all_learners(config)}
    behind = {name: copies(config, name) for name in config.learner_names}
    by_group = options.draw == "group"
    units = groups if by_group else config.episodes
    offset = rng.random()
    order = list(range(units))
    rng.shuffle(order)  # which unit gets which share
    result = []
    for group in range(groups):
        sitting = drawn(config, players, iteration, group)
        focal = focal_seat(config, sitting, group + iteration)
        names = [behind[name][group % len(behind[name])] if name in behind else name for name in sitting]
        row = []
        for k in range(config.group_size):
            unit = order[group if by_group else group * config.group_size + k]
            level = (unit + offset) / units % 1.0  # evenly spread over [0, 1)
            draw = stream(config.seed, "opponent", iteration, unit)
            opposite = _planned(plan[group]) if plan else _by_share(options, level, names, pool, scripts)
            seating = _seating(options, names, focal, draw, present, pool, opposite)
            if plan and plan[group].fresh:
                seating = replace(seating, learners=(None,) * len(names))
            row.append(replace(seating, iteration=iteration + 1, group=group, index=group * config.group_size + k))
        result.append(row)
    return result


def thinned(kept: Sequence[int], most: int | None) -> list[int]:
    """At most so many of a learner's kept versions (None: all), spread over its training from version 0 on.

    While there are more, the one goes whose neighbours are closest to each other, the older of equals; the newest stays. So no gap
    is ever more than twice as wide as in an even spread.
    """
    versions = [0, *kept]
    while most is not None and len(versions) - 1 > most:
        del versions[min(range(1, len(versions) - 1), key=lambda i: versions[i + 1] - versions[i - 1])]
    return versions[1:]


def check_updates(config: Config, game: Game | None = None) -> None:
    """UserError for a learner that would never be updated: none of its iterations has episodes that it can train on."""
    shared = shared_names(config)
    present = {name: PolicyRef("adapter", name) for name in (*config.seats, *shared)}
    for name in shared:
        options = config.learner(shared[name])
        fewest = options.credit.fewest(options.algorithm)
        updates = range(options.update_every - 1, config.iterations, options.update_every)[:TRIED]
        first = 0 if options.collect == "last" else 1 - options.update_every
        trained = {iteration + back for iteration in updates for back in range(first, 1)}
        if not any(_most_trained(config, name, iteration, present, game) >= fewest for iteration in sorted(trained)):
            raise UserError(
                f"The learner '{shared[name]}' would never be updated: with iterations={config.iterations}, "
                f"update_every={options.update_every} and these opponents it trains in no iteration after which it is updated; "
                "lower its update_every or raise iterations."
            )


def _most_trained(config: Config, name: str, iteration: int, present: Mapping[str, PolicyRef], game: Game | None) -> int:
    """Episodes of an iteration that train a learner from the same seat in the same group, the most that there are."""
    kept = {learner: [1] if iteration >= config.opponents.keep_every else [] for learner in all_learners(config)}
    new = Chosen({}, fresh=config.curriculum.replays and iteration == 0)  # later ones may be played again
    plan = [new] * (config.episodes // config.group_size) if config.curriculum.replays else []
    rows = [[seating.learners for seating in row] for row in seatings(config, iteration, present, kept, game, plan)]
    if config.learner(shared_names(config)[name]).credit.baseline == "batch":
        rows = [[learners for row in rows for learners in row]]
    return max(sum(learners[seat] == name for learners in row) for row in rows for seat in range(len(row[0])))


def focal_seat(config: Config, names: Sequence[str], turn: int) -> int:
    """The seat that trains against opponents; the seats of learners take turns."""
    seats = [s for s, name in enumerate(names) if name in config.learner_names]
    return seats[turn % len(seats)]


def _by_share(
    options: OpponentOptions,
    level: float,
    names: Sequence[str],
    pool: Mapping[str, Sequence[int]],
    scripts: Sequence[Sequence[str]],
) -> Opposite:
    """Who sits opposite at a level from [0, 1): below the share of kept ones one of these, then a script, then nobody else."""

    def opposite(seat: int, draw: float) -> PolicyRef | None:
        if level < options.kept and pool[names[seat]]:
            return PolicyRef("adapter", names[seat], _pick(pool[names[seat]], draw))
        if options.kept <= level < options.kept + options.scripted:
            return PolicyRef("script", _pick(scripts[seat], draw))
        return None

    return opposite


def _planned(chosen: Chosen) -> Opposite:
    """The co-player that a curriculum has chosen."""
    return lambda seat, draw: chosen.co_player


def _seating(
    options: OpponentOptions,
    names: Sequence[str],
    focal: int,
    rng: random.Random,
    present: Mapping[str, PolicyRef],
    pool: Mapping[str, Sequence[int]],
    opposite: Opposite,
) -> Seating:
    policies = [present[name] for name in names]
    draw = rng.random()
    others = [s for s, name in enumerate(names) if s != focal and name in pool]
    others = others if options.replaced is None else rng.sample(others, options.replaced)
    replaced = False
    for seat in others:
        if (opponent := opposite(seat, draw)) is not None:
            policies[seat] = opponent
            replaced = True
    focal_only = replaced or options.train_focal_only
    trains = [name in pool and (seat == focal or not focal_only) for seat, name in enumerate(names)]
    return Seating(tuple(policies), tuple(name if t else None for name, t in zip(names, trains, strict=True)))


def _pick(items: Sequence[T], draw: float) -> T:
    return items[int(draw * len(items))]
