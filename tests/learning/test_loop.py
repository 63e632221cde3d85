"""The training loop on a tiny model: the run folder is what the README promises, and every kind of run trains."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from peft import PeftConfig
from safetensors.torch import load_file

from detente import config
from detente.learning import checkpoint, loop
from detente.learning.state import RunState
from detente.learning.watchers import Watcher
from detente.records import PolicyRef, read_episodes
from detente.signals import at_once, handled

QUICK = (
    "device=cpu game.rounds=3 iterations=1 episodes=8 group_size=8 lora.rank=2 opponents.kept=0 "
    "algorithm=advantage_alignment evaluation.every=0 evaluation.episodes=1 evaluation.against=[always_defect] "
    "record.episodes_every=1"
)


@pytest.fixture(scope="module")
def train(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``train("iterations=2", ...) -> run folder``."""

    def start(*overrides: Any, preset: str = "ipd", watchers: Any = ()) -> Any:
        options = config.load(preset, [f"model={tiny_model}", *QUICK.split(), *overrides])
        return loop.train(options, tmp_path_factory.mktemp("runs") / "run", watchers=watchers)

    return start


@pytest.fixture(scope="module")
def run(train: Any) -> Any:
    """Four iterations of the usual kind: self-play with kept checkpoints, evaluated on the way."""
    return train(
        "iterations=4",
        "opponents.kept=0.5",
        "opponents.keep_every=2",
        "evaluation.every=2",
        "evaluation.episodes=3",
        "evaluation.against=[always_defect,tit_for_tat]",
        "record.episodes_every=3",
    )


def metrics(run: Any) -> Any:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def summary(run: Any) -> Any:
    return json.loads((run / "summary.json").read_text())


def played(run: Any, iteration: int = 1) -> Any:
    return read_episodes(run / "episodes" / f"{iteration:06d}.jsonl.gz")


def sides(episodes: Any, learner: str = "main") -> Any:
    return [(e, seat) for e in episodes for seat, name in enumerate(e.learners) if name == learner]


# ---- the contract


def test_a_run_folder_holds_what_design_says(run: Any) -> None:
    assert {p.name for p in run.iterdir()} - {".lock"} == {
        "config.yaml",
        "metrics.jsonl",
        "episodes",
        "adapters",
        "checkpoint",
        "family.json",
        "summary.json",
    }
    assert sorted(p.name for p in (run / "episodes").iterdir()) == ["000001.jsonl.gz", "000004.jsonl.gz"]
    assert sorted(p.name for p in (run / "adapters" / "main").iterdir()) == ["000002", "000004"]
    assert [p.name for p in (run / "checkpoint").iterdir()] == ["000004"]
    assert config.read(run / "config.yaml").opponents.keep_every == 2


def recorded(run: Any) -> Any:
    return sorted(int(p.name.split(".")[0]) for p in (run / "episodes").iterdir())


def test_the_last_iteration_is_recorded_and_a_longer_run_leaves_what_it_would_have_left(train: Any) -> None:
    run = train("iterations=3", "record.episodes_every=4", "evaluation.episodes=0", "game.rounds=1")
    assert recorded(run) == [1, 3]
    assert {e.policies[0].version for e in played(run, 3)} == {2}
    for iterations, files in ((3, [1, 3]), (4, [1, 4]), (6, [1, 5, 6]), (9, [1, 5, 9])):
        loop.train(config.read(run / "config.yaml").model_copy(update={"iterations": iterations}), run)
        assert recorded(run) == files


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_a_run_is_stopped_it_is_recorded(train: Any, tiny_model: str, tmp_path: Path, number: Any) -> None:
    class Impatient(Watcher):
        def iteration(self, found: Any) -> None:
            if found["iteration"] == 2:
                os.kill(os.getpid(), number)

    quick = ("iterations=6", "record.episodes_every=5", "record.checkpoint_every=4", "evaluation.episodes=0", "game.rounds=1")
    options = config.load("ipd", [f"model={tiny_model}", *QUICK.split(), *quick])
    with pytest.raises(KeyboardInterrupt), handled(at_once, signal.SIGTERM):
        loop.train(options, tmp_path / "run", watchers=[Impatient()])
    assert recorded(tmp_path / "run") == [1, 3]  # Ctrl-C during the third
    loop.train(options, tmp_path / "run")
    assert recorded(tmp_path / "run") == [1, 6]


def test_every_iteration_is_one_line_of_numbers(run: Any) -> None:
    lines = metrics(run)
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
    always = {
        *("reward/main", "invalid/main", "cooperation_rate/main", "self_play/reward/main", "self_play/cooperation_rate/main"),
        *(f"cooperate_given/main/{move}" for move in ("start", "CC", "CD", "DC", "DD")),
        *("loss/main", "entropy/main", "ratio/main", "capped/main", "grad_norm/main", "credit/main/std"),
        *("tokens/main/generated", "tokens/main/drawn", "mismatch/kl", "mismatch/mean_abs", "mismatch/max_abs"),
        *("audit/gap", "audit/other_gap", "time/rollout_s", "time/update_s", "time/total_s"),
    }
    for line in lines:
        assert always <= line.keys()
        assert all(isinstance(value, int | float) or value is None for value in line.values())
        assert all(math.isfinite(value) for value in line.values() if value is not None)
        assert 0 <= line["reward/main"] <= 5
        assert all(0 <= line[key] <= 1 for key in line if "cooperat" in key and line[key] is not None)
        assert 0 <= line["mismatch/kl"] < 1e-6  # in-process, float32: rounding only
        assert line["audit/gap"] < 1e-4
        assert abs(line["ratio/main"] - 1) < 1e-4
        assert 0 < line["entropy/main"] <= math.log(512)
    evaluated = {"eval/main/self_play/reward", "eval/main/vs/tit_for_tat/opponent_reward", "eval/main/cooperate_given/start"}
    assert [evaluated <= line.keys() for line in lines] == [False, True, False, True]
    assert ["vs/kept/reward/main" in line for line in lines] == [False, False, False, True]


def test_the_metrics_are_those_of_the_episodes(run: Any) -> None:
    line, episodes = metrics(run)[3], played(run, 4)
    ours = sides(episodes)
    present = PolicyRef("adapter", "main", 3)
    assert line["reward/main"] == pytest.approx(mean(e.mean_reward(seat) for e, seat in ours))
    actions = [turn.action for e, seat in ours for turn in e.turns(seat)]
    assert line["cooperation_rate/main"] == pytest.approx(actions.count("C") / len(actions))
    together = [(e, seat) for e, seat in ours if e.policies == (present, present)]
    kept = [(e, seat) for e, seat in ours if e.policies != (present, present)]
    assert len(together) == 2 * 4  # half of 8 episodes, both seats
    assert len(kept) == 4
    assert line["self_play/reward/main"] == pytest.approx(mean(e.mean_reward(seat) for e, seat in together))
    assert line["vs/kept/reward/main"] == pytest.approx(mean(e.mean_reward(seat) for e, seat in kept))
    assert line["tokens/main/generated"] == sum(len(t.completion.tokens) for e, seat in ours for t in e.turns(seat))
    assert (line["tokens/main/message"], line["tokens/main/decision"]) == (0, line["tokens/main/generated"])


def test_an_episode_says_who_played_and_who_trains(run: Any) -> None:
    first, fourth = played(run, 1), played(run, 4)
    assert all(e.policies == (PolicyRef("adapter", "main", 0),) * 2 and e.learners == ("main", "main") for e in first)
    for episode in fourth:
        assert all(turn.completion.policy == episode.policies[turn.player] for turn in episode.turns())
        trains = {3: "main", 2: None}  # version 2 was kept and is a mere opponent
        assert episode.learners == tuple(trains[policy.version] for policy in episode.policies)
    assert {(e.iteration, e.group, e.index) for e in fourth} == {(4, 0, k) for k in range(8)}
    assert len({e.seed for e in first}) == 1
    assert first[0].seed != fourth[0].seed


def test_few_are_kept_on_disk_and_in_the_pool(train: Any) -> None:
    run = train(
        *("iterations=7", "opponents.kept=1", "opponents.keep_every=1", "opponents.max_kept=2", "record.checkpoint_every=2"),
        *("evaluation.episodes=0", "game.rounds=1", "episodes=16"),
    )
    pools = [[], [1], [1, 2], [2, 3], [2, 4], [2, 5], [2, 6], [2, 7]]  # after every iteration; the newest is the present self
    for iteration in range(1, 8):
        met = {policy.version for episode in played(run, iteration) for policy in episode.policies} - {iteration - 1}
        assert met <= set(pools[iteration - 1])
    assert met == {2}
    assert sorted(p.name for p in (run / "adapters" / "main").iterdir()) == ["000002", "000007"]
    assert json.loads((run / "checkpoint" / "000007" / "state.json").read_text())["kept"] == {"main": [2, 7]}


def test_the_final_version_stays_beside_the_few_that_are_kept(train: Any) -> None:
    run = train("iterations=5", "opponents.keep_every=2", "opponents.max_kept=1", "evaluation.episodes=0", "game.rounds=1")
    assert sorted(p.name for p in (run / "adapters" / "main").iterdir()) == ["000004", "000005"]
    longer = config.read(run / "config.yaml").model_copy(update={"iterations": 6})
    loop.train(longer, run)
    assert [p.name for p in (run / "adapters" / "main").iterdir()] == ["000006"]


def test_the_version_just_kept_is_the_present_self(train: Any) -> None:
    """After iteration 1 the kept version 1 and the learner are the same weights: no opponent of the past."""
    run = train("iterations=2", "opponents.kept=1", "opponents.keep_every=1")
    assert {episode.policies for episode in played(run, 2)} == {(PolicyRef("adapter", "main", 1),) * 2}
    assert metrics(run)[1]["self_play/reward/main"] == metrics(run)[1]["reward/main"]
    assert "vs/kept/reward/main" not in metrics(run)[1]


def test_the_summary_has_the_keys_of_design(run: Any) -> None:
    found = summary(run)
    assert {"game": "ipd", "preset": "ipd", "seed": 0, "iterations": 4}.items() <= found.items()
    learner = found["learners"]["main"]
    assert learner["algorithm"] == "advantage_alignment"
    assert learner["self_play"].keys() >= {"reward", "cooperation_rate"}
    assert learner["against"].keys() == {"always_defect", "tit_for_tat"}
    for score in learner["against"].values():
        assert 0 <= score["reward"] <= 5
        assert 0 <= score["opponent_reward"] <= 5
    assert list(learner["cooperate_given"]) == ["start", "CC", "CD", "DC", "DD"]
    assert all(value is None or 0 <= value <= 1 for value in learner["cooperate_given"].values())
    assert learner["cooperate_given"]["CC"] is not None
    # always_defect never cooperates, so one's own reward is at most 1 a round and the sum of both at most 5
    assert learner["against"]["always_defect"]["reward"] <= 1


def test_the_last_evaluation_on_the_way_has_the_names_of_the_summary(run: Any) -> None:
    line, learner = metrics(run)[-1], summary(run)["learners"]["main"]
    assert line["eval/main/self_play/reward"] == learner["self_play"]["reward"]  # the same weights, seeds and iteration
    assert line["eval/main/vs/tit_for_tat/reward"] == learner["against"]["tit_for_tat"]["reward"]
    assert line["eval/main/cooperate_given/DD"] == learner["cooperate_given"]["DD"]


def test_adapters_are_peft_folders_and_go_on_learning_after_they_are_kept(run: Any, tiny_model: str) -> None:
    folders = [run / "adapters" / "main" / name for name in ("000002", "000004")]
    for folder in folders:
        written = PeftConfig.from_pretrained(str(folder))
        assert (written.r, written.base_model_name_or_path, written.inference_mode) == (2, tiny_model, True)
    older, newer = (load_file(folder / "adapter_model.safetensors") for folder in folders)
    assert all("lora_" in key and "main" not in key for key in newer)
    changed = [key for key in newer if not torch.equal(older[key], newer[key])]
    assert len(changed) == len(newer) == 2 * 3 * 7  # A and B, 3 layers, 7 linear maps


def test_the_watcher_hears_everything_in_order(train: Any) -> None:
    heard = []

    class Listener(Watcher):
        def start(self, options: Any, run: Any, first_iteration: Any) -> None:
            heard.append(f"start {first_iteration}")

        def episode(self) -> None:
            heard.append("episode")

        def iteration(self, found: Any) -> None:
            heard.append(f"iteration {found['iteration']}")

        def evaluating(self, name: Any) -> None:
            heard.append(name)

        def finish(self, found: Any) -> None:
            heard.append(f"finish {found['iterations']}")

    train("iterations=2", "evaluation.every=2", watchers=[Listener()])
    evaluation = ["self-play", "main against always_defect"]
    assert heard == [
        "start 0",
        *["episode"] * 8,
        "iteration 1",
        *["episode"] * 8,
        *evaluation,
        "iteration 2",
        *evaluation,
        "finish 2",
    ]


class Enough(Watcher):
    """Asks to stop after so many iterations, and writes down what it hears."""

    def __init__(self, iterations: Any) -> None:
        self.iterations = iterations
        self.heard: list[Any] = []

    def should_stop(self, found: Any) -> Any:
        self.heard.append(f"should_stop {found['iteration']}")
        return found["iteration"] == self.iterations

    def iteration(self, found: Any) -> None:
        self.heard.append(f"iteration {found['iteration']}")

    def finish(self, found: Any) -> None:
        self.heard.append(f"finish {found['iterations']}")


def test_a_watcher_stops_a_run_as_if_it_had_ended_and_it_can_go_on(train: Any) -> None:
    quick = ("iterations=5", "opponents.keep_every=4", "record.episodes_every=9", "record.checkpoint_every=9", "game.rounds=1")
    whole, other = train(*quick), Enough(99)
    watcher = Enough(2)
    run = train(*quick, watchers=[watcher, other])
    assert watcher.heard == ["should_stop 1", "iteration 1", "should_stop 2", "iteration 2", "finish 2"]
    assert other.heard == watcher.heard  # everybody is asked and told
    assert summary(run)["iterations"] == 2
    assert summary(run)["learners"]["main"]["self_play"]
    assert recorded(run) == [1, 2]
    assert [p.name for p in (run / "adapters" / "main").iterdir()] == ["000002"]
    assert [p.name for p in (run / "checkpoint").iterdir()] == ["000002"]
    loop.train(config.read(run / "config.yaml"), run)
    assert summary(run) == summary(whole)
    assert recorded(run) == recorded(whole)
    for name in ("000004", "000005"):
        ours, theirs = (folder / "adapters" / "main" / name / "adapter_model.safetensors" for folder in (run, whole))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_watcher_that_is_asked_in_the_last_iteration_changes_nothing(train: Any) -> None:
    watcher = Enough(1)
    run = train("iterations=1", "game.rounds=1", watchers=[watcher])
    assert watcher.heard == ["should_stop 1", "iteration 1", "finish 1"]
    assert summary(run)["iterations"] == 1


# ---- splitting games

TALK = ("game.name=trust_and_split", "game.message_chars=6", "answer.max_tokens=64", "group_size=4", "evaluation.against=[greedy]")


@pytest.fixture(scope="module")
def split(train: Any) -> Any:
    """Two iterations of Trust-and-Split in self-play."""
    return train(*TALK, "iterations=2", "evaluation.every=2")


def test_a_splitting_game_has_its_metrics(split: Any) -> None:
    own = ("reward", "efficiency", "ask_higher", "ask_lower", "inequality", "truthfulness", "believed")
    expected = {f"{name}/main" for name in (*own, "invalid")} | {f"self_play/{name}/main" for name in own}
    expected |= {f"{ask}_given/main/{last}" for ask in ("ask_higher", "ask_lower") for last in ("start", "fair", "greedy")}
    expected |= {f"ask_told/main/{told}" for told in ("upper", "lower", "nothing")}
    for line in metrics(split):
        assert expected <= line.keys()
        assert not [key for key in line if "cooperat" in key]
        assert 0 < line["efficiency/main"] <= 1
        assert all(0 <= line[key] <= 10 for key in expected if "ask_" in key and line[key] is not None)
    assert {"eval/main/self_play/efficiency", "eval/main/vs/greedy/reward", "eval/main/ask_told/nothing"} <= metrics(split)[
        1
    ].keys()


def test_message_tokens_are_counted_apart(split: Any) -> None:
    for iteration, line in enumerate(metrics(split), 1):
        count = {"message": 0, "decision": 0}
        for episode, seat in sides(played(split, iteration)):
            for turn in episode.turns(seat):
                count[turn.phase] += len(turn.completion.tokens)
        assert count["message"] > 0
        assert {phase: line[f"tokens/main/{phase}"] for phase in count} == count
        assert line["tokens/main/generated"] == sum(count.values())


def test_the_summary_of_a_splitting_game(split: Any) -> None:
    learner = summary(split)["learners"]["main"]
    assert learner["self_play"].keys() == {
        *("reward", "invalid", "efficiency", "ask_higher", "ask_lower", "inequality", "truthfulness", "believed")
    }
    assert learner["against"]["greedy"].keys() == learner["self_play"].keys() | {"opponent_reward"}
    assert {last: list(row) for last, row in learner["reciprocity"].items()} == {
        last: ["ask_higher", "ask_lower"] for last in ("start", "fair", "greedy")
    }
    assert list(learner["ask_told"]) == ["upper", "lower", "nothing"]
    assert "cooperate_given" not in learner


# ---- every kind of run


def test_learners_on_separate_seats_train_apart(train: Any) -> None:
    run = train("iterations=2", "seats=[row,column]", "learners.row.algorithm=reinforce", "learners.column.update_every=2")
    first, second = metrics(run)
    assert {"reward/row", "reward/column", "loss/row"} <= first.keys()
    assert "loss/column" not in first  # it updates every second iteration
    assert {"loss/row", "loss/column"} <= second.keys()
    assert first["tokens/row/generated"] == sum(len(t.completion.tokens) for e in played(run) for t in e.turns(0))
    assert [policy.version for policy in played(run, 2)[0].policies] == [1, 0]
    assert played(run)[0].learners == ("row", "column")
    learners = summary(run)["learners"]
    assert [learners[name]["algorithm"] for name in ("row", "column")] == ["reinforce", "advantage_alignment"]
    row, column = (load_file(next((run / "adapters" / name).iterdir()) / "adapter_model.safetensors") for name in ("row", "column"))
    assert not any(torch.equal(row[key], column[key]) for key in row if "lora_B" in key)


def test_all_episodes_since_the_last_update_train(train: Any) -> None:
    """Five iterations, updates after the second and the fourth; the backlog of the fifth waits in the checkpoint."""
    clock = ("learners.column.update_every=2", "learners.column.collect=all")
    run = train("iterations=5", "seats=[row,column]", "learners.row.algorithm=reinforce", *clock, "evaluation.episodes=0")
    lines = metrics(run)
    spoken = [sum(len(t.completion.tokens) for e in played(run, i) for t in e.turns(1)) for i in range(1, 6)]
    assert [line.get("tokens/column/generated") for line in lines] == [None, sum(spoken[:2]), None, sum(spoken[2:4]), None]
    assert all(abs(line["ratio/column"] - 1) < 1e-4 for line in (lines[1], lines[3]))  # nothing was updated in between
    waiting = checkpoint.read_newest(run / "checkpoint").state.backlog
    assert list(waiting) == played(run, 5)
    assert [line["tokens/row/generated"] for line in lines] == [
        sum(len(t.completion.tokens) for e in played(run, i) for t in e.turns(0)) for i in range(1, 6)
    ]


def test_a_script_on_a_seat_is_frozen(train: Any) -> None:
    run = train("seats=[main,always_defect]")
    for episode in played(run):
        assert episode.learners == ("main", None)
        assert episode.policies[1] == PolicyRef("script", "always_defect")
        assert {turn.action for turn in episode.turns(1)} == {"D"}
    assert summary(run)["learners"]["main"]["self_play"]["reward"] <= 1  # "self-play" is everybody on their own seat


@pytest.mark.parametrize("name", ["{run}", "{run}@2", "{run}/adapters/main/000002"])
def test_an_earlier_run_on_a_seat_is_frozen(name: str, run: Any, train: Any) -> None:
    seat = name.format(run=run)
    later = train(f"seats=[{seat},main]", "iterations=2", "opponents.keep_every=1")
    version, frozen = 2 if "2" in name else 4, seat.partition("@")[0]
    for iteration in (1, 2):
        for episode in played(later, iteration):
            assert episode.learners == (None, "main")
            assert episode.policies == (PolicyRef("adapter", frozen, version), PolicyRef("adapter", "main", iteration - 1))
    assert [p.name for p in (later / "adapters").iterdir()] == ["main"]


def test_scripts_take_their_share_of_the_episodes(train: Any) -> None:
    run = train("opponents.scripted=0.5", "opponents.scripts=[tit_for_tat,random]", "group_size=4", "game.rounds=1")
    against = [e for e in played(run) if any(policy.kind == "script" for policy in e.policies)]
    assert len(against) == 4
    for episode in against:
        seat = episode.learners.index("main")
        assert episode.learners[1 - seat] is None
        assert episode.policies[1 - seat].name in ("tit_for_tat", "random")
    assert {e.learners.index("main") for e in against} == {0, 1}  # the two groups take turns


@pytest.mark.parametrize(("decoding", "most"), [("retry", 3), ("free", 1)])
def test_a_model_that_may_say_anything_is_often_invalid_and_trains(decoding: str, most: int, train: Any) -> None:
    run = train(f"answer.decoding={decoding}", "answer.max_tokens=3")
    turns = [turn for e in played(run) for turn in e.turns()]
    invalid = [turn for turn in turns if not turn.valid]
    assert metrics(run)[0]["invalid/main"] == pytest.approx(len(invalid) / len(turns))
    assert len(invalid) > len(turns) / 2  # it never was trained
    assert {turn.completion.attempts for turn in invalid} == {most}
    assert all(turn.completion.pattern is None and turn.action == "C" for turn in invalid)  # the default is what is listed first
    assert metrics(run)[0]["mismatch/kl"] < 1e-6


VARIANTS = {
    "critic": ["credit.baseline=critic"],
    "whole batch": ["credit.baseline=batch", "group_size=2"],
    "no baseline, one episode a group": ["credit.baseline=none", "credit.weight_baseline=none", "group_size=1"],
    "whitened, annealed, paper's weight": [
        *("credit.whiten=true", "credit.beta_final=0", "credit.shaping=returns", "credit.first_round_bonus=0"),
        *("optimizer.lr_final=0", "loss.kl=0.1"),
    ],
    "small micro-batches with checkpointed gradients": [
        "optimizer.micro_batch_tokens=300",
        "optimizer.gradient_checkpointing=true",
    ],
    "random horizon": ["game.continuation=0.5", "game.max_rounds=4", "group_size=2"],
    "counterbalanced": ["game.counterbalance=true", "group_size=2"],
    "stag hunt": ["game.name=stag_hunt"],
    "chicken": ["game.name=chicken"],
    "matching pennies": ["game.name=matching_pennies", "evaluation.against=null"],
    "three actions": [
        "game.name=matrix",
        "game.payoffs=[[[1,1],[0,2],[3,0]],[[2,0],[1,1],[0,0]],[[0,3],[0,0],[2,2]]]",
        "evaluation.against=null",
    ],
    "negative payoffs": ["game.payoffs=[[[-1,-1],[-3,0]],[[0,-3],[-2,-2]]]"],
    "no audit, one at a time": ["record.audit_turns=0", "concurrency=1"],
    "bfloat16": ["dtype=bfloat16"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_run_trains(variant: Any, train: Any) -> None:
    run = train(*VARIANTS[variant])
    (line,) = metrics(run)
    assert all(math.isfinite(value) for value in line.values() if value is not None)
    assert line["grad_norm/main"] > 0
    assert line["mismatch/kl"] < (1e-2 if variant == "bfloat16" else 1e-6)
    low, high = (-3, 5)
    assert low <= line["reward/main"] <= high
    weights = load_file(run / "adapters/main/000001/adapter_model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert any(tensor.any() for key, tensor in weights.items() if "lora_B" in key)  # B starts at zero
    learner = summary(run)["learners"]["main"]
    without_cooperation = variant in ("matching pennies", "three actions")
    assert ("cooperate_given" not in learner) == without_cooperation
    assert ("cooperation_rate/main" not in line) == without_cooperation
    assert list(learner["against"]) == (["random"] if without_cooperation else ["always_defect"])


def test_rounds_of_a_random_horizon_are_those_of_the_group(train: Any) -> None:
    run = train("game.continuation=0.7", "game.max_rounds=6", "group_size=2")
    lengths: Any = {}
    for episode in played(run):
        lengths.setdefault(episode.group, set()).add(len(episode.rounds))
    assert all(len(found) == 1 for found in lengths.values())
    assert len(set.union(*lengths.values())) > 1


def test_without_evaluation_the_summary_says_so(train: Any) -> None:
    run = train("evaluation.episodes=0", "evaluation.every=1")
    learner = summary(run)["learners"]["main"]
    assert (learner["self_play"], learner["against"]) == ({}, {})
    assert not [key for key, value in metrics(run)[0].items() if key.startswith("eval/") and value is not None]


def test_seeds_decide_and_global_state_does_not(train: Any) -> None:
    def weights(*overrides: Any) -> Any:
        run = train(*overrides)
        return (run / "adapters/main/000001/adapter_model.safetensors").read_bytes(), played(run)

    torch.manual_seed(1)
    first = weights("seed=3")
    torch.manual_seed(2)
    assert weights("seed=3") == first
    assert weights("seed=4")[0] != first[0]


def test_it_learns_what_pays(train: Any) -> None:
    """Against a cooperator one round is a bandit: defection pays 5 and cooperation 3. The logits of a model that never was trained
    are bounded, so that neither gets rare."""
    run = train(
        *("algorithm=reinforce", "seats=[main,always_cooperate]", "game.rounds=1", "iterations=7", "episodes=32", "group_size=32"),
        *("loss.entropy=0", "loss.entropy_final=null", "optimizer.lr=0.005", "evaluation.episodes=0"),
    )
    cooperates = [line["cooperate_given/main/start"] for line in metrics(run)]
    assert cooperates[0] > 0.4
    assert cooperates[-1] < 0.2


def test_a_run_is_not_resumed_on_other_weights(tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from detente import config as options
    from detente import models
    from detente.errors import UserError
    from detente.learning.loop import train

    overrides = [
        "game.rounds=2",
        "episodes=4",
        "group_size=4",
        "evaluation.episodes=0",
        f"model={tiny_model}",
        "evaluation.every=0",
    ]
    train(options.load("ipd", [*overrides, "iterations=1"]), tmp_path / "run")
    monkeypatch.setattr(models.fingerprints, "fingerprint", lambda *_: "another")  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="was trained on another"):
        train(options.load("ipd", [*overrides, "iterations=2"]), tmp_path / "run")


def test_memory_that_runs_out_in_an_update_has_the_advice_of_training(
    open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from detente.errors import UserError
    from detente.learning.learner import Learner
    from detente.learning.loop import update

    def failing(*_: Any) -> None:
        raise MemoryError

    run = open_run()
    monkeypatch.setattr(Learner, "update", failing)
    with pytest.raises(UserError, match=r"^Memory ran out for an update; lower optimizer\.micro_batch_tokens or episodes, or"):
        update(run.session, RunState(0, {}, {}), run.play())
