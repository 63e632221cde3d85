"""Games that vary: what each group plays, what is checked before, and a run that plays it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from detente import config, games, matches, presets
from detente.errors import UserError
from detente.learning import loop
from detente.learning.checks import check
from detente.learning.rollout_worker import RolloutWorker
from detente.learning.variation import game_at, games_by_group, varied
from detente.records import Episode, PolicyRef, Seating, read_episodes

STAGES = ("vary.rounds.stages=[5,10,20]", "vary.rounds.every=100")
TABLES = "[[[3,3],[0,4]],[[4,0],[1,1]]],[[[3,3],[0,6]],[[6,0],[1,1]]]"
RUN = (
    "device=cpu game.rounds=3 episodes=4 group_size=2 lora.rank=2 optimizer.lr=0.01 loss.entropy_final=null opponents.kept=0 "
    "record.episodes_every=1 evaluation.every=0 evaluation.episodes=1 evaluation.against=[tit_for_tat] "
    "vary.rounds.stages=[1,2] vary.rounds.every=2 vary.noise.range=[0,0.5]"
)


@pytest.mark.parametrize(("iteration", "rounds"), [(0, 5), (99, 5), (100, 10), (199, 10), (200, 20), (10**6, 20)])
def test_stages_follow_one_another_and_the_last_one_stays(iteration: int, rounds: int) -> None:
    options = config.load("ipd", STAGES)
    assert game_at(options, iteration, 0) == games.make("ipd", rounds=rounds)
    assert varied(options, iteration) == {"vary/rounds": rounds}


def test_a_group_draws_for_itself_and_the_same_again() -> None:
    options = config.load("ipd", ["group_size=8", "vary.continuation.range=[0.5,0.95]", f"vary.payoffs.choices=[{TABLES}]"])
    first, second = (games_by_group(options, iteration) for iteration in (0, 1))
    assert first == games_by_group(options, 0) != second
    drawn = [game.parameters() for game in [*first.values(), *second.values()]]
    assert len({parameters["continuation"] for parameters in drawn}) == 16
    assert all(0.5 <= parameters["continuation"] < 0.95 for parameters in drawn)
    assert {parameters["payoffs"][1][0][0] for parameters in drawn} == {4, 6}
    assert varied(options, 0) == {"vary/continuation": pytest.approx(sum(p["continuation"] for p in drawn[:8]) / 8)}
    assert games_by_group(config.load("ipd", ["group_size=8", "seed=1", "vary.continuation.range=[0.5,0.95]"]), 0) != first


@pytest.mark.parametrize(
    ("overrides", "metrics"),
    [
        (["vary.wording.choices=[0,1,any]"], [set()] * 8),
        (["vary.rounds.stages=[4,5]", "vary.continuation={stages: [null, 0.9], every: 4}"], [{"vary/rounds"}] * 4 + [set()] * 4),
        (["vary.rounds.stages=[4,5]", "vary.max_rounds.choices=[6,7]"], [{"vary/rounds"}] * 8),
    ],
    ids=str,
)
def test_metrics_are_of_numbers_that_have_an_effect(overrides: list[str], metrics: list[set[str]]) -> None:
    options = config.load("ipd", ["episodes=4", "group_size=2", *overrides])
    assert [{*varied(options, iteration)} for iteration in range(8)] == metrics


def test_nothing_varies_unless_asked() -> None:
    options = config.load("ipd_scaling", ["vary.rounds=null"])
    assert (options.vary, games_by_group(options, 3), varied(options, 3)) == ({}, {}, {})
    assert options.model_dump(exclude={"preset", "description"}) == config.load("ipd").model_dump(exclude={"preset", "description"})


def test_the_options_come_back_as_they_were(tmp_path: Path) -> None:
    options = config.load("ipd", [*STAGES, "vary.noise.range=[0,0.5]", f"vary.payoffs.choices=[{TABLES}]"])
    (tmp_path / "config.yaml").write_text(config.to_yaml(options))
    again = config.read(tmp_path / "config.yaml")
    assert config.to_yaml(again) == config.to_yaml(options)
    assert game_at(again, 7, 0) == game_at(options, 7, 0)
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("vary=5", "The option vary is wrong: it has options of its own, not 5."),
        (
            "vary.rounds=5",
            "vary.rounds: one of stages, choices, range says how it varies, e.g. vary.rounds.stages=",
        ),
        ("vary.rounds.every=3", "vary.rounds: exactly one of stages, choices, range says how it varies"),
        ("vary.rounds.stages=[4] vary.rounds.choices=[5]", "not stages and choices."),
        ("vary.rounds.stages=[]", "vary.rounds: stages needs at least one value."),
        ("vary.rounds.stage=[4]", "There is no option 'vary.rounds.stage'; "),
        ("vary.rounds.choices=[4] vary.rounds.every=3", "vary.rounds: every says how long stages last"),
        ("vary.noise.range=[0.2,0.1]", "vary.noise: range is a smaller number and a larger one, not [0.2, 0.1]."),
        ("vary.noise.range=[true,2]", "The option vary.noise.range.0 is wrong"),
        ("vary.name.choices=[ipd,chicken]", "vary.name: what varies is a parameter of one game"),
        ("vary.of.choices=[ipd,chicken]", "vary.of: what varies is a parameter of one game"),
        (
            "vary.roundz.stages=[4]",
            "vary.roundz=4: There is no option 'game.roundz'; did you mean 'game.rounds'?",
        ),
        (
            "vary.rounds.stages=[4,0]",
            "There is no game for vary.rounds=0: The option rounds is a whole number",
        ),
        ("vary.rounds.stages=[4,5] game.continuation=0.9", "vary.rounds changes nothing, because a continuation is set;"),
        ("vary.rounds.stages=[4,5] vary.continuation.range=[0.5,0.9]", "vary.rounds changes nothing, because a continuation is"),
        ("vary.max_rounds.choices=[4,5]", "vary.max_rounds changes nothing, because no continuation is set; leave out"),
        ("vary.rounds.range=[5,10]", "A range draws numbers with a fraction; list whole ones as vary.rounds.choices."),
        ("vary.noise.range=[0,1.5]", "There is no game for vary.noise=1.5: The option noise is a probability"),
        (f"vary.rounds.choices=[{','.join(map(str, range(1, 1001)))}] vary.noise.range=[0,1]", "vary makes up to 3000 games"),
        (
            "vary.payoffs.choices=[[[[3,3],[0,5]],[[4,0],[1,1]]]]",
            "Its roles are seat 1 and seat 2, and those of the run's",
        ),
        ("vary.rounds.choices=[4,6] credit.baseline=batch", "credit.baseline=batch of the learner 'main' compares all episodes"),
    ],
)
def test_what_cannot_be_played_is_a_sentence(override: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check(config.load("ipd", override.split()))
    assert sentence in str(error.value)


def test_the_number_of_players_stays() -> None:
    with pytest.raises(UserError, match=r"There is no game for vary\.players=5: The game public_goods has 5 seats"):
        check(config.load("public_goods", ["vary.players.choices=[3,5]"]))


def test_strategies_must_be_able_to_play_every_game() -> None:
    words = ["opponents.scripted=0.5", "opponents.scripts=[avenger]", "vary.punishment.choices=[true,false]"]
    players = ["seats=[main,main]", "game={name: donor, players: 2, rounds: 2, punishment: true}", "evaluation.episodes=0"]
    with pytest.raises(UserError, match=r"There is no game for vary\.punishment=False: The strategy 'avenger' cannot play donor"):
        check(config.build(presets.given([*players, *words])))


def test_a_trial_ends_with_its_stage() -> None:
    stages = ["vary.rounds.stages=[4,6]"]
    check(config.load("ipd_shaper", [*stages, "vary.rounds.every=10"]))
    with pytest.raises(UserError, match=r"collect=trial of the learner 'main' compares .* \(update_every=5\)"):
        check(config.load("ipd_shaper", [*stages, "vary.rounds.every=7"]))


def test_workers_elsewhere_play_what_varies() -> None:
    options = config.load("ipd", ["seats=[main,always_defect]", "episodes=4", "group_size=2", "vary.rounds.choices=[1,2,3,4,5]"])
    seatings = [Seating((PolicyRef("script", "random"),) * 2, (None, None), 2, group, group) for group in (0, 1)]
    worker = RolloutWorker(options, ".")
    worker.open()
    played = worker.play(seatings, matches.Named((0, "game"), (0, "episode")), {})
    assert [episode.game for episode in played] == [game.parameters() for game in games_by_group(options, 1).values()]
    assert len({len(episode.rounds) for episode in played}) == 2


# ---- a run


def train(model: str, folder: Path, iterations: int) -> Path:
    return loop.train(config.load("ipd", [*RUN.split(), f"model={model}", f"iterations={iterations}"]), folder)


def played(run: Path, iteration: int) -> list[Episode]:
    return read_episodes(run / "episodes" / f"{iteration:06d}.jsonl.gz")


def lines(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]


@pytest.fixture(scope="module")
def run(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny_model, tmp_path_factory.mktemp("vary") / "run", 4)


def test_every_group_plays_its_own_game(run: Path) -> None:
    for iteration, rounds in enumerate((1, 1, 2, 2), 1):
        episodes = played(run, iteration)
        assert {len(episode.rounds) for episode in episodes} == {episode.game["rounds"] for episode in episodes} == {rounds}
        noise = [episode.game["noise"] for episode in episodes]
        assert noise[0] == noise[1] != noise[2] == noise[3]
        assert lines(run)[iteration - 1]["vary/rounds"] == rounds
        assert lines(run)[iteration - 1]["vary/noise"] == pytest.approx((noise[0] + noise[2]) / 2)
    assert json.loads((run / "summary.json").read_text())["learners"]["main"]["self_play"]["reward"] is not None


def test_a_run_that_goes_on_varies_as_if_it_had_not_stopped(run: Path, tiny_model: str, tmp_path: Path) -> None:
    again = tmp_path / "run"
    for iterations in (1, 3, 4):
        train(tiny_model, again, iterations)
    assert [played(again, i) for i in (1, 2, 3, 4)] == [played(run, i) for i in (1, 2, 3, 4)]
    assert lines(again) == lines(run)


def test_evaluations_play_the_game_as_it_is(run: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(loop, "evaluate", lambda options, game, *rest: seen.append(game) or {})
    train(tiny_model, run.with_name("other"), 1)
    assert seen == [games.make("ipd", rounds=3)]
