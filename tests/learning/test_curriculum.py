"""Curricula: the rules on tables, what groups play, and runs that follow one."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from detente import config, games, matches
from detente.config import Config
from detente.errors import UserError
from detente.learning import checkpoint, loop
from detente.learning.checks import check
from detente.learning.curriculum import (
    EVERYBODY,
    Chosen,
    Curriculum,
    Scored,
    averaged_loss,
    drawn,
    loss_weights,
    regret_weights,
    replay_weights,
    scored,
)
from detente.learning.opponents import seatings
from detente.learning.planning import Result, curriculum_metrics, planned, remembered, settings
from detente.learning.regret import best_value, lost_share, regret
from detente.learning.rollout_worker import RolloutWorker
from detente.learning.variation import game_at, games_by_group, varied
from detente.records import Completion, Episode, PolicyRef, Round, Seating, Turn, read_episodes

TABLE = {"A": (0.6, 0.1, 0.4, 0.2), "B": (0.1, 0.5, 0.4, 0.3), "C": (0.2, 0.4, 0.4, 0.4)}  # regrets in settings 1 to 4
SCRIPTS = ("opponents.kept=0", "opponents.scripted=1", "opponents.scripts=[always_cooperate,always_defect,tit_for_tat]")
VARIED = ("vary.rounds.choices=[2,3,4]", "vary.noise.range=[0,0.2]")
RUN = (
    "device=cpu game.rounds=3 iterations=4 episodes=8 group_size=2 lora.rank=2 optimizer.lr=0.01 loss.entropy_final=null "
    "evaluation.every=0 evaluation.episodes=0 record.episodes_every=1 opponents.keep_every=1"
)


def options(*overrides: str) -> Config:
    return config.load("ipd", ["episodes=64", "group_size=8", *overrides])


def buffers() -> dict[str, tuple[Scored, ...]]:
    made: dict[str, tuple[Scored, ...]] = {}
    for name, row in TABLE.items():
        for number, value in enumerate(row, 1):
            made[name] = scored(made.get(name, ()), Scored({"setting": number}, value), 100)
    return made


def script(name: str) -> PolicyRef:
    return PolicyRef("script", name)


def episode(*rewards: tuple[float, float], other: PolicyRef | None = None) -> Episode:
    main = PolicyRef("adapter", "main", 9)
    turns = (Turn(0, "", "C", True, Completion("", main)),)
    return Episode({}, 0, (main, other or main), tuple(Round(turns, pair, {}) for pair in rewards))


# ---- the rules


def test_the_first_pick_is_the_joint_maximum() -> None:
    weights = regret_weights(buffers(), [*TABLE], 0.0)
    assert weights == [1, 0, 0]
    assert buffers()["A"][0] == Scored({"setting": 1}, 0.6)
    by_setting = [sum(row[number] for row in TABLE.values()) for number in range(4)]
    by_player = {name: sum(row) for name, row in TABLE.items()}
    assert (by_setting.index(max(by_setting)) + 1, max(by_player, key=lambda name: by_player[name])) == (3, "C")


def test_the_greatest_of_five_is_drawn_most() -> None:
    known = {name: (Scored({}, value),) for name, value in zip("abcde", (3, 1, 1, 0, -1), strict=True)}
    assert regret_weights(known, "abcde", 0.1) == pytest.approx([0.92, 0.02, 0.02, 0.02, 0.02])
    assert regret_weights(known, "bcde", 0.0) == [0.5, 0.5, 0, 0]  # equals share
    assert regret_weights(known, "a", 0.1) == pytest.approx([1])
    assert regret_weights(known, "abf", 0.0) == [0, 0, 1]  # one that was never met goes first


def test_buffers_are_apart_sorted_and_bounded() -> None:
    settings, rng = options(*SCRIPTS, "curriculum=maestro", "curriculum.buffer=5"), random.Random(0)
    state = Curriculum()
    for _ in range(40):
        chosen = Chosen({"rounds": rng.randrange(20)}, script(rng.choice(["always_cooperate", "tit_for_tat"])))
        state = remembered(settings, state, [Result(chosen, rng.random(), 0.5)], {})
    assert {name: len(buffer) for name, buffer in state.buffers.items()} == {"always_cooperate": 5, "tit_for_tat": 5}
    for buffer in state.buffers.values():
        regrets = [entry.regret for entry in buffer]
        assert regrets == sorted(regrets, reverse=True)
        assert len({json.dumps(entry.setting) for entry in buffer}) == 5
    again = Chosen(state.buffers["tit_for_tat"][0].setting, script("tit_for_tat"))
    lowered = remembered(settings, state, [Result(again, -9.0, 0.5)], {}).buffers["tit_for_tat"]
    assert lowered[-1] == Scored(again.setting, -9.0)
    assert Curriculum.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_nothing_is_remembered_of_versions_that_are_gone() -> None:
    settings = options("curriculum=maestro", "vary.rounds.choices=[4,5]")
    chosen = [Chosen({"rounds": 4}, PolicyRef("adapter", "main", version)) for version in (10, 20)]
    state = remembered(settings, Curriculum(), [Result(version, 1.0, 0.5) for version in chosen], {"main": (20, 30)})
    assert [*state.buffers] == ["main@20"]


def test_one_buffer_for_everybody() -> None:
    settings = options(*SCRIPTS, *VARIED, "curriculum=plr")
    played = [
        Result(Chosen({"rounds": 2}, script(name)), value, 0.5) for name, value in (("always_defect", 2.0), ("tit_for_tat", 1.0))
    ]
    state = remembered(settings, Curriculum(), played, {})
    assert state.buffers == {EVERYBODY: (Scored({"rounds": 2}, 1.0),)}
    assert state.lost == {}


def test_co_players_that_win_are_met_more() -> None:
    assert loss_weights({"a": 0.75, "b": 0.25}, "ab", 0.0) == [0.75, 0.25]
    assert loss_weights({"a": 0.0, "b": 0.0}, "ab", 0.0) == [0.5, 0.5]
    assert loss_weights({"a": 0.0}, "ab", 0.2) == pytest.approx([0.1, 0.9])
    assert (averaged_loss(None, 0.5), averaged_loss(1.0, 0.5)) == (0.5, 0.75)
    settings = options(*SCRIPTS, "curriculum=pfsp")
    state = remembered(settings, Curriculum(), [Result(Chosen({}, script("always_defect")), 0.0, 1.0)], {})
    assert (state.lost, state.buffers) == ({"always_defect": 1.0}, {})


def test_replay_is_by_rank() -> None:
    weights = replay_weights(3)
    assert weights[0] / weights[1] == pytest.approx(2 ** (1 / 0.3))
    assert sum(weights) == pytest.approx(1)
    rng = random.Random(0)
    assert Counter(drawn(weights, rng) for _ in range(1000))[0] == pytest.approx(1000 * weights[0], abs=40)


# ---- regret


@pytest.mark.parametrize(
    ("name", "best"), [("always_cooperate", 5), ("always_defect", 1), ("tit_for_tat", 3.2), ("grim_trigger", 3.2), ("random", 3)]
)
def test_the_best_value_is_exact_and_per_round(name: str, best: float) -> None:
    assert best_value(games.make("ipd", rounds=10), name, 0) == pytest.approx(best)


def test_the_best_value_of_an_open_end() -> None:
    game = games.make("ipd", continuation=0.9, max_rounds=200)
    assert best_value(game, "always_defect", 1) == pytest.approx(1)
    assert best_value(game, "tit_for_tat", 1) == pytest.approx(3, abs=1e-6)


def test_regret_is_exact_against_scripts_alone() -> None:
    game = games.make("ipd", rounds=2)

    def group(other: PolicyRef | None) -> list[Episode]:
        return [episode((3, 3), (1, 5), other=other), episode((0, 0), (2, 0), other=other)]

    assert regret(game, group(script("always_cooperate")), 0) == pytest.approx(5 - 1.5)
    assert regret(game, group(script("always_cooperate")), 1) == pytest.approx(4 - 2)  # nobody computes what is best against main
    assert regret(game, group(None), 0) == regret(game, group(PolicyRef("adapter", "main", 4)), 0) == pytest.approx(2 - 1.5)
    split = games.make("deal_or_no_deal")
    assert best_value(split, "random", 0) is None
    assert lost_share(group(None), 0) == 0.5
    assert lost_share([episode((1, 1)), episode((0, 1))], 0) == 0.75


# ---- what groups play


def test_a_plan_is_made_of_buffers_and_draws() -> None:
    settings_of = options(*SCRIPTS, *VARIED, "curriculum={method: maestro, replay: 1, spread: 0}")
    known = {"rounds": 4, "noise": 0.1}
    state = Curriculum(
        {name: (Scored(known, value),) for name, value in (("always_cooperate", 1.0), ("always_defect", 2.0), ("tit_for_tat", 0.0))}
    )
    game = check(settings_of)
    plan = planned(settings_of, state, 3, {"main": ()}, game)
    assert plan == (Chosen(known, script("always_defect")),) * 8
    assert {
        (g.parameters()["rounds"], g.parameters()["noise"]) for g in games_by_group(settings_of, 3, settings(plan)).values()
    } == {(4, 0.1)}
    assert varied(settings_of, 3, settings(plan)) == {"vary/rounds": 4, "vary/noise": pytest.approx(0.1)}
    fresh = planned(settings_of, Curriculum(), 3, {"main": ()}, game)
    assert all(chosen.fresh for chosen in fresh)
    assert [game_at(settings_of, 3, group, chosen.setting) for group, chosen in enumerate(fresh)] == [
        *games_by_group(settings_of, 3).values()
    ]
    assert planned(options(*SCRIPTS, *VARIED), state, 3, {"main": ()}, game) == ()


@pytest.mark.parametrize("method", ["uniform", "pfsp"])
def test_without_buffers_every_group_trains(method: str) -> None:
    settings_of = options("episodes=800", *SCRIPTS, *VARIED, f"curriculum={method}")
    plan = planned(
        settings_of, Curriculum(lost={"always_cooperate": 0.0, "always_defect": 1.0, "tit_for_tat": 0.5}), 0, {}, check(settings_of)
    )
    counts = Counter(chosen.name for chosen in plan)
    assert not any(chosen.fresh for chosen in plan)
    expected = 100 / 3 if method == "uniform" else 100 * (0.1 / 3 + 0.9 * 2 / 3)
    assert counts["always_defect"] == pytest.approx(expected, abs=15)


def test_shares_say_which_co_players_there_are() -> None:
    kept = {"main": range(10, 310, 10)}
    game = check(options(*VARIED, "curriculum=uniform"))

    def players(*more: str, kept: Any = kept) -> list[Chosen]:
        settings_of = options("curriculum=uniform", "episodes=800", "opponents.max_loaded=3", *VARIED, *more)
        return list({str(c.co_player): c for c in planned(settings_of, Curriculum(), 0, kept, game)}.values())

    def names(plan: list[Chosen]) -> set[str]:
        return {"kept" if chosen.co_player and chosen.co_player.kind == "adapter" else chosen.name for chosen in plan}

    assert names(players("opponents.kept=0.5")) == {"kept", "present"}
    both = ("opponents.kept=0.2", "opponents.scripted=0.3", "opponents.scripts=[random,tit_for_tat]")
    assert names(players(*both)) == {"kept", "present", "random", "tit_for_tat"}
    assert names(players("opponents.kept=1", "seats=[main,tit_for_tat]")) == {"present"}
    assert names(players("opponents.kept=1", kept={"main": ()})) == {"present"}
    alone = players("opponents.kept=1")
    assert (names(alone), len(alone)) == ({"kept"}, 3)  # as many as are loaded


def test_seatings_take_the_co_player_and_new_settings_train_nobody() -> None:
    settings_of = options("episodes=6", "group_size=2", *SCRIPTS)
    plan = [Chosen({}, script("tit_for_tat"), fresh=True), Chosen({}, PolicyRef("adapter", "main", 3)), Chosen({})]
    now = PolicyRef("adapter", "main", 9)
    rows = seatings(settings_of, 0, {"main": now}, {"main": (3,)}, None, plan)
    assert [{seating.policies for seating in row} for row in rows] == [
        {(now, script("tit_for_tat"))},
        {(PolicyRef("adapter", "main", 3), now)},
        {(now, now)},
    ]
    assert [{seating.learners for seating in row} for row in rows] == [{(None, None)}, {(None, "main")}, {("main", "main")}]


def test_metrics_say_what_was_played() -> None:
    kept = [Result(Chosen({}, PolicyRef("adapter", "main", v), fresh=True), v, 0.0) for v in (1, 2)]
    settings_of: list[dict[str, Any]] = [{"rounds": 4, "wording": "any"}, {"rounds": 5, "wording": 0}]
    both = [Result(Chosen(settings_of[0], script("random")), 4.0, 0.0), Result(Chosen(settings_of[1]), 1.0, 0.0)]
    config_of = options("opponents.scripted=0.5", "opponents.scripts=[random,tit_for_tat]", "curriculum=uniform")
    assert curriculum_metrics(config_of, [*kept, *both]) == {
        "curriculum/regret": 2,
        "curriculum/fresh": 0.5,
        "curriculum/share/kept": 0.5,
        "curriculum/regret/kept": 1.5,
        "curriculum/share/random": 0.25,
        "curriculum/share/tit_for_tat": 0,
        "curriculum/regret/random": 4,
        "curriculum/share/present": 0.25,
        "curriculum/regret/present": 1,
        "curriculum/trained/rounds": 4.5,
    }
    assert curriculum_metrics(config_of, []) == {}
    assert curriculum_metrics(config_of, both[:1])["curriculum/share/present"] == 0


def test_workers_elsewhere_play_the_settings() -> None:
    options_of = config.load("ipd", ["seats=[main,always_defect]", "episodes=4", "group_size=2", "vary.rounds.choices=[1,2,3,4,5]"])
    seated = [Seating((script("random"),) * 2, (None, None), 2, group, group) for group in (0, 1)]
    worker = RolloutWorker(options_of, ".")
    worker.open()
    stream = matches.Named((0, "game"), (0, "episode"))
    played = worker.play(seated, stream, {}, settings={0: {"rounds": 4}, 1: {"rounds": 1}})
    assert [len(game.rounds) for game in played] == [4, 1]


# ---- what does not go


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["curriculum=maestro", "opponents.kept=0"], "curriculum=maestro chooses among settings of the game and opp"),
        (["curriculum=uniform", "opponents.kept=0", "vary.rounds.stages=[4,5]"], "one setting and no opponent; let a parameter"),
        (["curriculum=plr"], "curriculum=plr chooses among settings of the game, and there is one; let a parameter"),
        (["curriculum=pfsp", "opponents.kept=0", "vary.rounds.choices=[4,5]"], "curriculum=pfsp chooses among opponents"),
        (["curriculum=pfsp", "seats=[main,tit_for_tat]", "vary.rounds.choices=[4,5]"], "curriculum=pfsp chooses among opponents"),
        (["curriculum=uniform", "seats=[a,b]", "learners.a={}", "learners.b={}"], "follows one learner, and here are a, b"),
        (["curriculum=uniform", "learners.main.copies=2"], "follows one learner, and here are main_0, main_1"),
        (["curriculum=maestro", "iterations=1"], "The learner 'main' would never be updated"),
        (
            ["curriculum=maestro", "vary.rounds.choices=[4,5]", "opponents.kept=0", "learners.main.briefing=last"],
            "a briefing has the learner",
        ),
    ],
)
def test_what_has_nothing_to_choose_is_a_sentence(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check(options(*overrides))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "curriculum=mastro",
            "The option curriculum.method is wrong: input should be 'none', 'uniform', 'plr', 'pfsp' or 'maestro'",
        ),
        ("curriculum.replay=0", "The option curriculum.replay is wrong"),
        ("curriculum.spread=2", "The option curriculum.spread is wrong"),
        ("curriculum.buffr=2", "There is no option 'curriculum.buffr'; did you mean 'curriculum.buffer'?"),
        ("curriculum=3", "The option curriculum is wrong: it has options of its own, not 3."),
    ],
)
def test_wrong_options_are_a_sentence(override: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        options(override)
    assert sentence in str(error.value)


# ---- runs


def train(model: str, folder: Path, *overrides: str) -> Path:
    return loop.train(config.load("ipd", [f"model={model}", *RUN.split(), *overrides]), folder)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, str]:
    files = sorted((run / "adapters").glob("*/*/*.safetensors"))
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def same(first: Path, second: Path) -> None:
    """The runs have equal adapters, metrics but for times, and state."""
    assert weights(first) == weights(second)
    timed = [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines(first)]
    assert timed == [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines(second)]
    states = [checkpoint.read_newest(run / "checkpoint") for run in (first, second)]
    assert states[0] is not None
    assert states[1] is not None
    assert states[0].state == states[1].state


def test_new_settings_change_no_weights_and_replays_do(tiny_model: str, tmp_path: Path) -> None:
    run = train(tiny_model, tmp_path / "run", *SCRIPTS, *VARIED, "curriculum=maestro", "curriculum.replay=0.5")
    played = [read_episodes(file) for file in sorted((run / "episodes").glob("*.jsonl.gz"))]
    fresh = [{e.group for e in episodes if e.learners == (None, None)} for episodes in played]
    assert fresh[0] == {0, 1, 2, 3}
    assert 0 < sum(map(len, fresh[1:])) < 12
    rows = lines(run)
    assert [row["curriculum/fresh"] for row in rows] == [len(groups) / 4 for groups in fresh]
    assert ["loss/main" in row for row in rows] == [len(groups) < 4 for groups in fresh]
    versions = [max(e.policies[0].version for e in episodes if e.policies[0].kind == "adapter") for episodes in played]
    assert versions[:2] == [0, 0]  # nothing was trained on in the first iteration
    assert versions[-1] > 0
    state = checkpoint.read_newest(run / "checkpoint")
    assert state is not None
    entries = [entry for buffer in state.state.curriculum.buffers.values() for entry in buffer]
    assert all(entry.setting.keys() == {"rounds", "noise"} for entry in entries)
    groups = {(e.iteration, e.group): e.game for episodes in played for e in episodes}
    known = {json.dumps([game["rounds"], game.get("noise", 0.0)]) for game in groups.values()}
    assert {json.dumps([entry.setting["rounds"], entry.setting["noise"]]) for entry in entries} <= known


@pytest.mark.parametrize(
    "more",
    [
        ("curriculum=maestro", "opponents.kept=0.5"),
        ("curriculum=plr", "overlap=1", "opponents.kept=0.5", "opponents.max_kept=2"),
    ],
    ids=lambda more: more[0],
)
def test_a_run_that_goes_on_equals_one_that_was_left_alone(
    tiny_model: str, tmp_path: Path, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny_model, tmp_path / "whole", *VARIED, *more)
    write, count = checkpoint.write, 0

    def stopping(*given: Any) -> None:
        nonlocal count
        write(*given)
        count += 1
        if count <= 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", stopping)
    for _ in range(3):
        try:
            train(tiny_model, tmp_path / "parts", *VARIED, *more)
        except KeyboardInterrupt:
            continue
    assert count > 1
    same(whole, tmp_path / "parts")


def test_without_a_curriculum_a_run_is_as_it_was(tiny_model: str, tmp_path: Path) -> None:
    plain = train(tiny_model, tmp_path / "plain", *SCRIPTS, *VARIED, "iterations=2")
    none = train(tiny_model, tmp_path / "none", *SCRIPTS, *VARIED, "iterations=2", "curriculum=none")
    same(plain, none)
    assert not any(key.startswith("curriculum/") for row in lines(plain) for key in row)
    state = json.loads(next((plain / "checkpoint").glob("*/state.json")).read_text())
    assert "curriculum" not in state
