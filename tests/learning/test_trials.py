"""Trials: copies that start anew, briefings, clocks; and what does not fit together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from detente import config
from detente.errors import UserError
from detente.games import make
from detente.games.summaries import summary
from detente.learning import checkpoint, loop
from detente.learning.checks import check
from detente.learning.opponents import seatings
from detente.learning.run_folder import RunFolder
from detente.learning.starting import renew
from detente.learning.trials import briefed, check_trials
from detente.matches import Counted, Scripts, play_sync
from detente.records import Episode, PolicyRef, read_episodes

TRIAL = (
    "device=cpu game.rounds=3 iterations=5 episodes=8 group_size=2 lora.rank=2 optimizer.lr=0.05 algorithm=reinforce "
    "opponents.kept=0 opponents.keep_every=1 evaluation.every=0 evaluation.episodes=1 evaluation.against=[always_defect] "
    "record.episodes_every=1 seats=[main,rival] learners.main.update_every=2 learners.main.collect=trial "
    "learners.main.briefing=counts learners.main.credit.baseline=batch learners.rival.copies=2 learners.rival.lifetime=2"
)


def options(*changes: str, model: str = "pocket") -> Any:
    return config.load("ipd", [*TRIAL.split(), f"model={model}", *changes])


@pytest.fixture(scope="module")
def run(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loop.train(options(model=tiny_model), tmp_path_factory.mktemp("trials") / "run")


def played(run: Path, iteration: int) -> list[Episode]:
    return read_episodes(run / "episodes" / f"{iteration:06d}.jsonl.gz")


def test_groups_go_round_the_copies(run: Path) -> None:
    for episode in played(run, 1):
        assert episode.learners == ("main", f"rival_{episode.group % 2}")
        assert episode.policies[1] == PolicyRef("adapter", f"rival_{episode.group % 2}", 0)


def test_clocks_and_lifetimes(run: Path) -> None:
    """main learns after the second and the fourth iteration; the rivals after each, and start anew before the third and fifth."""
    versions = [[policy.version for policy in played(run, i)[0].policies] for i in range(1, 6)]
    assert versions == [[0, 0], [0, 1], [1, 3], [1, 4], [2, 6]]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    spoken = [sum(len(t.completion.tokens) for e in played(run, i) for t in e.turns(0)) for i in range(1, 6)]
    assert [line.get("tokens/main/generated") for line in lines] == [None, sum(spoken[:2]), None, sum(spoken[2:4]), None]
    assert all({"loss/rival", "reward/rival"} <= line.keys() and "loss/rival_0" not in line for line in lines)
    state = checkpoint.read_newest(run / "checkpoint")
    assert state is not None
    assert list(state.state.backlog) == played(run, 5)
    assert (state.state.pool["main"], state.state.pool["rival_0"]) == ((0, 1, 2), ())
    assert set(json.loads((run / "summary.json").read_text())["learners"]) == {"main", "rival"}


def test_the_shaper_is_told_of_the_game_before_and_nobody_else_is(run: Path) -> None:
    game = make("ipd", rounds=3)
    for iteration in range(1, 6):
        for episode in played(run, iteration):
            main, rival = (next(episode.turns(seat)).prompt for seat in (0, 1))
            assert "So far" not in rival
            if iteration % 2 == 1:
                assert main == rival
            else:
                assert main == f"{rival}\n{summary('counts', game, [played(run, iteration - 1)[episode.index]], 0)}"


def test_after_its_lifetime_a_learner_equals_a_fresh_one_bit_for_bit(open_run: Callable[..., Any]) -> None:
    made = [open_run(learners={"main": {"lifetime": 1, "credit": {"baseline": "critic"}}}) for _ in range(2)]
    used, fresh = (run.learners["main"] for run in made)
    untouched = [parameter.clone() for parameter in used.parameters]
    used.update(made[0].trajectories(made[0].play()), 0.0)
    assert not all(map(torch.equal, untouched, used.parameters))
    for learner in (used, fresh):
        learner.reset(7)
    trained = [[p for group in learner.optimizer.param_groups for p in group["params"]] for learner in (used, fresh)]
    assert all(map(torch.equal, *trained))
    assert not used.optimizer.state
    assert used.version == 2
    assert not all(map(torch.equal, untouched, used.parameters))  # another draw
    second = [learner.update(run.trajectories(made[1].play()), 0.0) for run, learner in zip(made, (used, fresh), strict=True)]
    assert second[0] == second[1]
    assert all(map(torch.equal, *trained))


def test_a_session_starts_learners_anew_when_their_lifetime_is_over(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run = open_run(seats=["main", "rival"], learners={"rival": {"lifetime": 3}})
    for iteration in range(7):
        renew(run.session, RunFolder(tmp_path), iteration)
        assert run.engine.serves(run.learners["rival"].policy)
    assert (run.learners["main"].version, run.learners["rival"].version) == (0, 2)


def test_a_briefing_is_of_the_same_game_since_the_last_update() -> None:
    settings = options("learners.main.update_every=3", "learners.main.briefing=last", "iterations=6")
    game = make("ipd", rounds=3)
    present = {name: PolicyRef("adapter", name) for name in ("main", "rival_0", "rival_1")}
    groups = [seatings(settings, iteration, present, dict.fromkeys(present, ()), game) for iteration in range(5)]
    assert briefed(settings, game, groups[0], [], Counted()) == groups[0]

    script = (PolicyRef("script", "always_cooperate"), PolicyRef("script", "random"))
    past = [
        replace(episode, learners=seating.learners)
        for row in (groups[2], groups[3])
        for group in row
        for seating, episode in zip(
            group, play_sync(Scripts(game), game, [replace(s, policies=script) for s in group], stream=Counted()), strict=True
        )
    ]
    told = briefed(settings, game, groups[4], past, Counted())
    last = {episode.index: episode for episode in past if episode.iteration == 4}  # the third was learned from
    for seating in (seating for group in told for seating in group):
        assert seating.briefing == (summary("last", game, [last[seating.index]], 0), "")


def test_who_started_somewhere_starts_there_again(run: Path, tiny_model: str, tmp_path: Path) -> None:
    source = run / "adapters" / "main" / "000002"
    settings = options(f"learners.rival.start_from={source}", "iterations=3", "opponents.keep_every=3", model=tiny_model)
    later = loop.train(settings, tmp_path / "later")
    third = played(later, 3)[0].policies[1]
    assert third == PolicyRef("adapter", "rival_0", 3)  # two updates, and a new start
    again, fresh = (Path(run_folder) / "adapters" for run_folder in (later, run))
    kept = (again / "rival_0" / "000000" / "adapter_model.safetensors").read_bytes()
    assert kept == (fresh / "main" / "000002" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("learners.rival.copies=3", "The groups of an iteration, 4 .* must be a multiple of learners.rival.copies"),
        ("opponents.kept=0.5", "'main' with collect=trial plays a trial with the same others throughout; set opponents.kept=0"),
        ("opponents.kept=0.5 learners.main.collect=last", "The learner 'main' with a briefing plays a trial with the same others"),
        (
            "learners.main.collect=last learners.main.briefing=none opponents.kept=0.5",
            "opponents.kept plays earlier versions, and the learner 'rival' starts anew",
        ),
        ("opponents.scripted=0.5", "The learner 'main' with collect=trial plays a trial with the same others throughout; set opp"),
        ("opponents.train_focal_only=true", "set opponents.train_focal_only=false"),
        ("learners.main.credit.baseline=group", "collect=trial needs credit.baseline=batch .* not group"),
        (
            "learners.main.algorithm=advantage_alignment learners.main.credit.weight_baseline=critic",
            r"collect=trial has no critic; set credit\.weight_baseline=group",
        ),
        ("learners.main.credit.baseline=critic", "collect=trial needs credit.baseline=batch .* not critic"),
        ("game.continuation=0.9", "collect=trial of the learner 'main' needs episodes of equal length; set game.continuation=null"),
        ("learners.rival.copies=1", "meets one 'rival' in all its games; set learners.rival.copies to 2 or more"),
    ],
)
def test_what_does_not_fit_together(change: str, sentence: str) -> None:
    scripts = ("opponents.scripts=[tit_for_tat]",) if "scripted" in change else ()
    with pytest.raises(UserError, match=sentence):
        check(options(*change.split(), *scripts))


def test_the_name_of_a_copy_is_nobody_elses() -> None:
    with pytest.raises(UserError, match="A copy of the learner 'rival' is called 'rival_1', and so is a seat"):
        check_trials(options("seats=[main,rival,rival_1]", "learners.rival_1={}"), make("ipd"))


@pytest.mark.parametrize(
    "change", ["copies=0", "copies=1.5", "lifetime=0", "briefing=all", "collect=trials", "lifetime=-1", "copies=many"]
)
def test_values_that_are_none(change: str) -> None:
    with pytest.raises(UserError, match=f"learners.rival.{change.partition('=')[0]}"):
        options(f"learners.rival.{change}")
