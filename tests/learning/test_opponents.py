"""Who plays whom: shares, turns, draws, and what the record will say."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from detente.config import build
from detente.errors import UserError
from detente.games import make
from detente.learning.opponents import check_updates, seatings, thinned
from detente.records import PolicyRef

NOW = PolicyRef("adapter", "main", 50)
KEPT = {"main": [10, 20, 30, 40]}


def config(
    episodes: int = 32, group_size: int = 8, seats: Any = ("main", "main"), learners: Any = None, seed: int = 0, **opponents: Any
) -> Any:
    return build(
        {
            "game": "ipd",
            "episodes": episodes,
            "group_size": group_size,
            "seats": seats,
            "learners": learners or {},
            "seed": seed,
            "opponents": opponents,
        }
    )


def draw(options: Any, iteration: int = 0, present: Any = None, kept: Any = KEPT) -> Any:
    return seatings(options, iteration, present or {"main": NOW}, kept)


def flat(tables: Any) -> Any:
    return [seating for row in tables for seating in row]


def kind(seating: Any) -> Any:
    """What sits opposite: the present, a kept version, a script."""
    others = [policy for policy in seating.policies if policy != NOW]
    return ("script" if others[0].kind == "script" else "kept") if others else "self"


@pytest.mark.parametrize("iteration", range(12))
@pytest.mark.parametrize(("draw_by", "episodes", "group_size"), [("episode", 32, 8), ("group", 32, 2)])
def test_shares_are_met_exactly(iteration: int, draw_by: str, episodes: int, group_size: int) -> None:
    options = config(episodes, group_size, kept=0.25, scripted=0.125, scripts=["tit_for_tat", "always_defect"], draw=draw_by)
    found = Counter(map(kind, flat(draw(options, iteration))))
    assert found == {"kept": 8, "script": 4, "self": 20}


@pytest.mark.parametrize("iteration", range(12))
def test_shares_that_do_not_come_out_even_are_met_to_one_episode(iteration: int) -> None:
    options = config(10, 5, kept=0.33, scripted=0.17, scripts=["tit_for_tat"])
    found = Counter(map(kind, flat(draw(options, iteration))))
    assert found["kept"] in (3, 4)
    assert found["script"] in (1, 2)


def test_over_many_iterations_shares_are_exact_and_every_episode_gets_each() -> None:
    options = config(10, 5, kept=0.33)
    tables = [flat(draw(options, iteration)) for iteration in range(600)]
    by_place = [sum(kind(table[place]) == "kept" for table in tables) / 600 for place in range(10)]
    assert sum(by_place) / 10 == pytest.approx(0.33, abs=0.01)
    assert by_place == pytest.approx([0.33] * 10, abs=0.08)  # 4 standard deviations of a coin


def test_all_or_nothing() -> None:
    assert {kind(s) for s in flat(draw(config()))} == {"self"}
    assert {kind(s) for s in flat(draw(config(kept=1.0)))} == {"kept"}
    assert {kind(s) for s in flat(draw(config(kept=1.0), kept={"main": []}))} == {"self"}  # nothing is kept yet


def test_the_seat_that_trains_takes_turns_group_by_group_and_iteration_by_iteration() -> None:
    options = config(kept=1.0)
    for iteration in range(4):
        for group, row in enumerate(draw(options, iteration)):
            focal = (group + iteration) % 2
            for seating in row:
                assert seating.learners[focal] == "main"
                assert seating.learners[1 - focal] is None
                assert seating.policies[focal] == NOW
                assert seating.policies[1 - focal].version in KEPT["main"]


def test_self_play_trains_both_seats_unless_only_the_focal_one() -> None:
    assert {s.learners for s in flat(draw(config()))} == {("main", "main")}
    assert {s.policies for s in flat(draw(config()))} == {(NOW, NOW)}
    one_sided = draw(config(train_focal_only=True))
    assert [{s.learners for s in row} for row in one_sided] == [{("main", None)}, {(None, "main")}] * 2


def test_a_group_shares_its_opponent_or_mixes() -> None:
    pool = {"main": list(range(1, 25))}
    shared = draw(config(128, 16, kept=1.0, draw="group"), kept=pool)
    assert all(len({s.policies for s in row}) == 1 for row in shared)
    assert len({row[0].policies[i] for i in (0, 1) for row in shared} - {NOW}) > 4
    mixed = draw(config(128, 16, kept=1.0, draw="episode"), kept=pool)
    assert all(len({s.policies for s in row}) > 5 for row in mixed)


def test_kept_versions_are_drawn_evenly_and_by_identity() -> None:
    options = config(64, 64, kept=1.0)
    found = Counter(s.policies[(i + 1) % 2] for i in range(100) for s in flat(draw(options, i)))
    assert set(found) == {PolicyRef("adapter", "main", version) for version in KEPT["main"]}
    assert all(n == pytest.approx(1600, abs=140) for n in found.values())  # 4 standard deviations


def test_at_most_so_many_are_loaded_and_they_change() -> None:
    options, many = config(64, 64, kept=1.0, max_loaded=3), {"main": list(range(10, 400, 10))}
    seen = [{s.policies[(i + 1) % 2].version for s in flat(draw(options, i, kept=many))} for i in range(10)]
    assert all(len(versions) <= 3 for versions in seen)
    assert len(set.union(*seen)) > 10


def test_the_seed_and_the_iteration_decide() -> None:
    options = config(kept=0.5, scripted=0.2, scripts=["tit_for_tat", "always_defect"])
    assert draw(options, 3) == draw(options, 3)
    assert draw(options, 3) != draw(options, 5)
    assert draw(options, 3) != draw(config(seed=1, kept=0.5, scripted=0.2, scripts=["tit_for_tat", "always_defect"]), 3)


def test_two_learners_on_their_own_seats() -> None:
    """Each meets kept versions of the other, never of itself, and trains on its own seat alone."""
    options = config(seats=("left", "right"), learners={"left": {}, "right": {}}, kept=0.5)
    present = {"left": PolicyRef("adapter", "left", 7), "right": PolicyRef("adapter", "right", 9)}
    tables = [draw(options, i, present, {"left": [1, 2], "right": [5]}) for i in range(2)]
    together = {s for table in tables for s in flat(table) if s.policies == tuple(present.values())}
    assert {s.learners for s in together} == {("left", "right")}
    apart = {(s.policies, s.learners) for table in tables for s in flat(table)} - {(s.policies, s.learners) for s in together}
    assert apart == {
        ((present["left"], PolicyRef("adapter", "right", 5)), ("left", None)),
        ((PolicyRef("adapter", "left", 1), present["right"]), (None, "right")),
        ((PolicyRef("adapter", "left", 2), present["right"]), (None, "right")),
    }


def test_a_frozen_seat_is_never_replaced_and_never_trains() -> None:
    options = config(seats=("main", "tit_for_tat"), kept=0.5)
    script = PolicyRef("script", "tit_for_tat")
    for seating in flat(draw(options, 1, {"main": NOW, "tit_for_tat": script})):
        assert (seating.policies, seating.learners) == ((NOW, script), ("main", None))


def grown(joining: Any, most: Any) -> Any:
    """The pool after every version that joined it."""
    pools: Any = [[]]
    for version in joining:
        pools.append(thinned([*pools[-1], version], most))
    return pools[1:]


def test_without_a_limit_or_below_it_all_stay() -> None:
    assert thinned([10, 20, 30], None) == [10, 20, 30]
    assert thinned([10, 20, 30], 3) == [10, 20, 30]
    assert thinned([], 3) == []


def test_the_version_between_the_closest_goes_and_the_older_of_equals() -> None:
    assert thinned([10, 20, 30, 40], 3) == [20, 30, 40]  # all are equally close: 0 stands before 10
    assert thinned([20, 30, 40, 50], 3) == [20, 40, 50]
    assert thinned([20, 40, 50, 60], 3) == [20, 40, 60]
    assert thinned([10, 20, 30, 40], 1) == [40]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 28])
def test_the_pool_spans_the_run_and_keeps_the_newest(most: int) -> None:
    joined = list(range(10, 3000, 10))
    for newest, pool in zip(joined, grown(joined, most), strict=True):
        assert len(pool) == min(most, newest // 10)
        assert pool == sorted(set(pool))
        assert pool[-1] == newest
        gaps = [after - before for before, after in pairwise([0, *pool])]
        assert max(gaps) <= 2 * newest / len(pool)  # an even spread has newest / len(pool)


def test_versions_that_join_at_odd_times_are_spread_too() -> None:
    rng = random.Random(0)
    joined = sorted(rng.sample(range(1, 5000), 400))
    pool = grown(joined, 10)[-1]
    steps = max(after - before for before, after in pairwise([0, *joined]))
    assert max(after - before for before, after in pairwise([0, *pool])) <= max(steps, 2 * joined[-1] / 10)


# ---- learners that would never be updated

TWO = {"seats": ("left", "right"), "learners": {"left": {"update_every": 2}, "right": {"update_every": 2}}}


@pytest.mark.parametrize(("every", "iterations", "fits"), [(1, 1, True), (3, 3, True), (4, 3, False), (10**9, 100, False)])
def test_a_learner_needs_an_iteration_to_be_updated_in(every: int, iterations: int, fits: bool) -> None:
    options = config(learners={"main": {"update_every": every}}).model_copy(update={"iterations": iterations})
    refused(options, None if fits else "main")


@pytest.mark.parametrize(
    ("changes", "never"),
    [
        ({}, None),
        ({"train_focal_only": True}, None),  # 4 groups: both seats have their turn in each iteration
        ({"train_focal_only": True, "group_size": 32}, "left"),  # one group: left trains in odd iterations, and even ones update
        ({"scripted": 1.0, "scripts": ["random"], "group_size": 32}, "left"),
        ({"scripted": 0.5, "scripts": ["random"], "group_size": 32}, None),
        ({"kept": 1.0, "keep_every": 3, "group_size": 32}, None),  # before the third iteration there is no kept version
        ({"kept": 1.0, "keep_every": 1, "group_size": 32}, "left"),
    ],
)
def test_episodes_must_train_it_in_such_an_iteration(changes: Any, never: str | None) -> None:
    refused(config(**TWO, **changes), never)  # type: ignore[arg-type]


def test_a_script_opposite_is_no_hindrance() -> None:
    refused(config(seats=("main", "random")), None)


def refused(options: Any, name: Any) -> None:
    if name is None:
        check_updates(options)
    else:
        with pytest.raises(UserError, match=f"The learner '{name}' would never be updated"):
            check_updates(options)


@pytest.mark.parametrize("draw_by", ["episode", "group"])
def test_opponents_may_take_some_of_the_other_seats(draw_by: str) -> None:
    """One of six, on every seat in its turn; who is not replaced plays the present version and does not train."""
    options = config(seats=["main"] * 7, scripted=0.5, scripts=["tit_for_tat"], replaced=1, draw=draw_by)
    met = [seating for iteration in range(30) for seating in flat(draw(options, iteration)) if kind(seating) != "self"]
    assert len(met) == 30 * 16
    for seating in met:
        assert Counter(seating.policies) == {NOW: 6, PolicyRef("script", "tit_for_tat"): 1}
        (focal,) = (seat for seat, learner in enumerate(seating.learners) if learner)
        assert seating.policies[focal] == NOW
    taken = Counter(seating.policies.index(PolicyRef("script", "tit_for_tat")) for seating in met)
    assert len(taken) == 7


def test_who_replaces_all_others_is_drawn_as_ever() -> None:
    """The draws of two seats are the same whether the option names the only other seat or not."""
    opponents: dict[str, Any] = {"kept": 0.25, "scripted": 0.25, "scripts": ["tit_for_tat", "always_defect"]}
    assert draw(config(**opponents)) == draw(config(**opponents, replaced=1))


def test_more_opponents_than_other_seats_are_refused() -> None:
    with pytest.raises(UserError, match=r"opponents\.replaced \(3\) is more than there are other seats that learn \(2\)"):
        config(seats=["main"] * 3, replaced=3)


ROTATING = {"seats": ["a", "b", "c"], "learners": {"a": {}, "b": {}, "c": {"copies": 2}}, "rotate": True}


def rotated(iteration: int, **opponents: Any) -> Any:
    """The seatings of an iteration in which three learners rotate on the two seats of a game."""
    options = config(**ROTATING, **opponents)  # type: ignore[arg-type]
    now = {name: PolicyRef("adapter", name, 50) for name in ("a", "b", "c_0", "c_1")}
    return seatings(options, iteration, now, {name: [10, 20] for name in now}, make("ipd"))


def test_a_group_shares_who_sits_where_and_everybody_trains_from_every_seat() -> None:
    rows = [row for iteration in range(20) for row in rotated(iteration)]
    for row in rows:
        assert len({seating.learners for seating in row}) == len({seating.policies for seating in row}) == 1
        assert row[0].learners == tuple(policy.name for policy in row[0].policies)
    for seat in range(2):
        assert {row[0].learners[seat] for row in rows} == {"a", "b", "c_0", "c_1"}
    assert all(name == f"c_{row[0].group % 2}" for row in rows for name in row[0].learners if name[0] == "c")


def test_opponents_take_the_place_of_whoever_sits_there() -> None:
    for seating in flat([row for iteration in range(20) for row in rotated(iteration, kept=0.5, train_focal_only=True)]):
        ((focal, learner),) = ((seat, name) for seat, name in enumerate(seating.learners) if name)
        assert seating.policies[focal] == PolicyRef("adapter", learner, 50)
        assert seating.policies[1 - focal].name != learner
