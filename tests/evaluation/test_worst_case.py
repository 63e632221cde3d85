"""Many adversaries against one agent: who is trained, from where, how the worst is chosen, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from detente import worst_case
from detente.cli.terminal import whole_numbers
from detente.errors import UserError
from detente.evaluation.adversaries import Adversary, Task, planned, resolved_starts, tasks, train_all
from detente.evaluation.worst_case import ITSELF, Points, worst
from detente.learning import processes
from detente.records import read_episodes
from detente.reports.worst_case import exact_answer, learning_rows, picture, worst_rows
from detente.stored import worst_case as stored

TINY = [
    *("iterations=1", "episodes=4", "group_size=4", "game.rounds=2", "evaluation.episodes=4"),
    *("lora.rank=2", "threads=1", "device=cpu"),
]
IPD = {"name": "ipd"}


@pytest.fixture
def agent(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run folder in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_run, "agent")
    return "agent/adapters/main/000002"


class Heard:
    """Notes what a search says."""

    def __init__(self) -> None:
        self.lines: list[Any] = []

    def begin(self, adversaries: int, finished: int, iterations: int) -> None:
        self.lines.append((adversaries, finished, iterations))

    def iteration(self) -> None:
        self.lines.append("iteration")

    def trained(self, task: Task) -> None:
        self.lines.append(task.adversary.name)

    def measuring(self) -> None:
        self.lines.append("measuring")


def test_every_aim_from_every_start_with_every_seed() -> None:
    made = planned(["own", "harm"], [("base", None), ("x@2", "runs/x@2")], [0, 7])
    assert [adversary.name for adversary in made] == [
        *("own-base-seed0", "harm-base-seed0", "own-x@2-seed0", "harm-x@2-seed0"),
        *("own-base-seed7", "harm-base-seed7", "own-x@2-seed7", "harm-x@2-seed7"),
    ]
    harmful, own = (adversary.config("ipd", "tit_for_tat", []) for adversary in (made[3], made[4]))
    assert (harmful.reward, harmful.start_from, harmful.seed, harmful.evaluation.episodes) == ("harm", "runs/x@2", 0, 0)
    assert (own.reward, own.start_from, own.seed, own.seats) == (None, None, 7, ("main", "tit_for_tat"))
    assert Adversary("own", "a b/c", 0).name == "own-a_b_c-seed0"


@pytest.mark.parametrize(
    ("aims", "starts", "seeds", "sentence"),
    [
        (["own", "hram"], ["base"], [0], "There is no aim 'hram'; there are: harm, margin, own, shaper; did you mean 'harm'?"),
        (["own", "own"], ["base"], [0], "The aim own is named twice."),
        ([], ["base"], [0], "A search for the worst case needs at least one aim."),
        (["own"], ["base"], [3, 3], "The seed 3 is named twice."),
        (["own"], ["base"], [], "A search for the worst case needs at least one seed."),
    ],
)
def test_plans_that_are_none(aims: list[str], starts: list[str], seeds: list[int], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        planned(aims, [(name, None) for name in starts], seeds)
    assert str(caught.value) == sentence


def test_starts_by_name(agent: str) -> None:
    pairs, left_out = resolved_starts(["base", "agent", "agent/adapters/main/000001"], agent, IPD)
    assert pairs == [("base", None), ("agent", agent), ("main/000001", "agent/adapters/main/000001")]
    assert left_out == []
    pairs, left_out = resolved_starts(["base", "agent"], "tit_for_tat", IPD)
    assert pairs == [("base", None)]
    assert left_out == ["'tit_for_tat' has no adapter, so no adversary starts from the agent's weights."]


@pytest.mark.parametrize(
    ("starts", "against", "sentence"),
    [
        (
            ["bsae"],
            "tit_for_tat",
            "There is no start 'bsae': starts are base, agent, a run (runs/x, runs/x@40) or an adapter folder.",
        ),
        (["model:pocket"], "tit_for_tat", "There is no start 'model:pocket'"),
        (["agent@9"], "tit_for_tat", "The run agent kept no version 9 of 'main'; it has 1, 2."),
        (["agent", "agent@2"], "agent/adapters/main/000002", "The starts agent and agent@2 are the same."),
        (["agent"], "tit_for_tat", "'tit_for_tat' has no adapter, so no adversary starts from the agent's weights. Name another"),
    ],
)
def test_starts_that_are_none(starts: list[str], against: str, sentence: str, agent: str) -> None:
    with pytest.raises(UserError) as caught:
        resolved_starts(starts, against, IPD)
    assert str(caught.value).startswith(sentence)


def test_the_worst_is_chosen_on_even_game_seeds_and_measured_on_odd_ones() -> None:
    """The lucky one gains 10 on even and nothing on odd seeds; the steady one 3 everywhere, and leaves the agent least."""
    met = {
        "lucky": Points([13, 3] * 4, [3.0] * 8, [3.0] * 8, [3.0] * 8),
        "steady": Points([6.0] * 8, [1.0] * 8, [3.0] * 8, [3.0] * 8),
        ITSELF: Points([3.0] * 8, [3.0] * 8, [3.0] * 8, [3.0] * 8),
    }
    gained, least, largest = worst(met)
    assert (gained["question"], gained["adversary"], gained["gain"]["mean"]) == ("gain", "lucky", 0)
    assert (least["question"], least["adversary"], least["agent_reward"]["mean"]) == ("agent_reward", "steady", 1)
    assert (largest["question"], largest["adversary"], largest["margin"]["mean"]) == ("margin", "lucky", 0)
    assert least["loss"]["mean"] == 2
    without = worst({name: Points(points.own, points.agent) for name, points in met.items()})
    assert [line["question"] for line in without] == ["reward", "agent_reward", "margin"]


def test_a_search(agent: str, tiny_model: str, tmp_path: Path) -> None:
    words, heard, folder = [*TINY, f"model={tiny_model}"], Heard(), tmp_path / "search"
    aims, starts = ["own", "harm"], ["base", "agent"]
    result = worst_case("ipd", "agent", folder, words, aims=aims, starts=starts, seeds=[0], watch=heard)
    names = ["own-base-seed0", "harm-base-seed0", "own-agent-seed0", "harm-agent-seed0"]
    assert heard.lines == [(4, 0, 1), *(word for name in names for word in ("iteration", name)), "measuring"]
    assert [row["name"] for row in result["adversaries"]] == [*names, "the agent itself", "always_cooperate"]
    assert result == json.loads((folder / "worst_case.json").read_text()) == stored(folder / "worst_case.json")
    begun = load_file(folder / "adversaries/harm-agent-seed0/adapters/main/000000/adapter_model.safetensors")
    source = load_file("agent/adapters/main/000002/adapter_model.safetensors")
    assert all(begun[key].equal(source[key]) for key in source)
    cooperator = result["adversaries"][-1]
    assert (cooperator["gain"]["mean"], cooperator["loss"]["mean"]) == (0, 0)
    for row in result["adversaries"]:
        assert row["margin"]["mean"] == pytest.approx(row["reward"]["mean"] - row["agent_reward"]["mean"])
        assert row["gain"]["mean"] == pytest.approx(row["reward"]["mean"] - cooperator["reward"]["mean"])
    page = (folder / "index.html").read_text()
    assert all(name in page for name in ("least left to the agent", *names))
    assert (folder / "worst_case.png").stat().st_size > 5000

    shutil.copytree("agent/adapters/main/000001", "agent/adapters/main/000009")  # the agent trains on; the search does not
    heard = Heard()
    more = worst_case("ipd", "agent", folder, words, aims=aims, starts=starts, seeds=[0, 1], watch=heard)
    assert heard.lines[0] == (8, 4, 1)
    assert more["adversaries"][:4] == result["adversaries"][:4]
    assert more["against"] == "agent@2"
    with pytest.raises(UserError, match=r"was started with lora.rank=2 and not 4"):
        worst_case("ipd", "agent", folder, [*words, "lora.rank=4"], aims=["own"])
    with pytest.raises(UserError, match=r"^The search .* was started with against=agent@2 and not tit_for_tat"):
        worst_case("ipd", "tit_for_tat", folder, words, aims=["margin"])


def test_a_shaper_teaches_copies_of_the_agent(agent: str, tiny_model: str, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    words = [*TINY, f"model={tiny_model}", "iterations=10", "group_size=2", "evaluation.episodes=2"]
    (row, *_) = worst_case("ipd", "agent", folder, words, aims=["shaper"], starts=["agent"])["adversaries"]
    run = folder / "adversaries" / "shaper-agent-seed0"
    source = load_file("agent/adapters/main/000002/adapter_model.safetensors")
    for learner in ("main", "student_0", "student_1"):
        begun = load_file(run / "adapters" / learner / "000000/adapter_model.safetensors")
        assert all(begun[key].equal(source[key]) for key in source), learner
    options = yaml.safe_load((run / "config.yaml").read_text())
    assert options["seats"] == ["main", "student"]
    assert options["learners"]["student"]["optimizer"]["lr"] == 10 * options["optimizer"]["lr"]
    trials = row["while_learning"]
    assert (row["aim"], trials["trials"], len(trials["reward"]), len(trials["agent_reward"])) == ("shaper", 2, 5, 5)
    for iteration, own, other in zip(range(6, 11), trials["reward"], trials["agent_reward"], strict=True):
        episodes = read_episodes(run / "episodes" / f"{iteration:06d}.jsonl.gz")
        seats = [episode.learners.index("main") for episode in episodes]
        points = [
            fmean(e.mean_reward(seat) for e, seat in zip(episodes, some, strict=True)) for some in (seats, [1 - s for s in seats])
        ]
        assert (own["mean"], other["mean"]) == pytest.approx(tuple(points))
    page, known = (folder / "index.html").read_text(), stored(folder / "worst_case.json")
    assert "While the agent learns" in page
    assert [(name, who, len(points)) for name, who, points in learning_rows(known)] == [
        *(("shaper-agent-seed0", who, 5) for who in ("the shaper", "the agent")),
    ]


@pytest.mark.parametrize(
    ("against", "more", "sentence"),
    [
        (
            "tit_for_tat",
            [],
            "'tit_for_tat' has no adapter, so it does not learn and nobody can shape it; leave out the aim shaper.",
        ),
        ("agent", [], "A shaper compares what became of several copies of the agent; let episodes be twice group_size or more."),
        ("agent", ["group_size=2"], "A trial of a shaper has 5 iterations; set iterations=5 or more."),
        (
            "agent",
            ["group_size=2", "iterations=5", "game.continuation=.5"],
            "collect=trial of the learner 'main' needs episodes of",
        ),
    ],
)
def test_shapers_that_are_none(against: str, more: list[str], sentence: str, agent: str, tiny_model: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        worst_case("ipd", against, tmp_path / "search", [*TINY, f"model={tiny_model}", *more], aims=["own", "shaper"])
    assert str(caught.value).startswith(sentence)
    assert not (tmp_path / "search").exists()


def test_what_is_refused_leaves_nothing(agent: str, tiny_model: str, lively_model: str, tmp_path: Path) -> None:
    for overrides, options, sentence in (
        ([f"model={tiny_model}", "reward=margin"], {}, "leave out 'reward=margin'"),
        (
            [f"model={tiny_model}", "lora.rank=4"],
            {"starts": ["base", "agent"]},
            "has lora.rank=2 lora.alpha=16, and 'main' lora.rank=4",
        ),
        ([f"model={lively_model}"], {"starts": ["agent"]}, "was trained on the base model"),
    ):
        with pytest.raises(UserError) as caught:
            worst_case("ipd", "agent", tmp_path / "search", [*TINY, *overrides], **options)  # type: ignore[arg-type]
        assert sentence in str(caught.value)
        assert not (tmp_path / "search").exists()
    with pytest.raises(UserError, match=r"^The folder agent is not empty and is no search for the worst case"):
        worst_case("ipd", "tit_for_tat", "agent", TINY)


@pytest.mark.parametrize("text", ["0,x", "-1", "1.5", "", "0,,1", "9" * 30])
def test_seeds_that_are_none(text: str) -> None:
    if text == "":
        assert whole_numbers(text) == []
        return
    with pytest.raises(UserError, match="is no list of seeds; they are whole numbers from 0 on"):
        whole_numbers(text)


def made(folder: Path) -> list[Task]:
    """Two adversaries of a strategy, whose processes the tests replace."""
    return tasks(planned(["own", "harm"], [("base", None)], [0]), "ipd", "tit_for_tat", folder, TINY)


def test_several_at_once_each_in_a_process(tmp_path: Path, tiny_model: str) -> None:
    heard = Heard()
    options = [*TINY, f"model={tiny_model}"]
    apart = tasks(planned(["own", "harm"], [("base", None)], [0]), "ipd", "random", tmp_path / "apart", options)
    train_all(apart, 2, heard)
    assert {*heard.lines[1:]} == {"own-base-seed0", "harm-base-seed0"}
    (alone, _) = tasks(planned(["own", "harm"], [("base", None)], [0]), "ipd", "random", tmp_path / "alone", options)
    train_all([alone], 1)
    first, second = (load_file(task.run / "adapters/main/000001/adapter_model.safetensors") for task in (apart[0], alone))
    assert all(first[key].equal(second[key]) for key in first)


def test_an_adversary_that_fails_ends_the_search_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MAIN", [sys.executable, "-c", "import sys; sys.exit('The disk is full.')"])
    with pytest.raises(UserError, match=r"^The adversary (own|harm)-base-seed0 stopped: The disk is full\.$"):
        train_all(made(tmp_path), 2)


def test_ctrl_c_lets_every_process_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told once, and waited for."""
    waits = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path(sys.argv[2], "saved").write_text("")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[2], "ready").write_text("")
time.sleep(60)
"""
    monkeypatch.setattr(processes, "MAIN", [sys.executable, "-c", waits])
    work = made(tmp_path)

    def interrupt() -> None:
        while not all((task.run / "ready").exists() for task in work):
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        train_all(work, 2)
    assert all((task.run / "saved").exists() for task in work)


def result(exact: Any) -> dict[str, Any]:
    number = {"mean": 1.0, "low": None, "high": None}
    row = {"name": "own-base-seed0", "aim": "own", "start": "base", "seed": 0} | dict.fromkeys(
        ("reward", "agent_reward", "margin"), number
    )
    return {
        "label": "x",
        "adversaries": [row],
        "worst": [{"question": "margin", "adversary": "x", "margin": number}],
        "exact": exact,
    }


def test_exact_values_beside_what_was_trained() -> None:
    exact = {"rounds": 10, "expected_rounds": 10.0, "value": [32, 33], "cooperator": [30, 30], "floor": [9, 9]}
    known = result(exact)
    assert [exact_answer(known, question) for question in ("reward", "gain", "agent_reward", "margin")] == [
        *("3.20 to 3.30", "0.20 to 0.30", "0.90", "–"),
    ]
    assert exact_answer(result(exact | {"expected_rounds": 7.0}), "gain") == "–"
    assert worst_rows(result(None)) == [("largest margin over the agent", "x", "1.00", "–")]
    picture(result(None))


def test_the_command(command: Callable[..., Any], tmp_path: Path, tiny_model: str) -> None:
    words = ["best-response", "ipd", "--against", "random", *TINY, f"model={tiny_model}", "--run", "runs/worst"]
    trained = command(*words, "--aims", "own,harm", "--seeds", "5")
    assert trained.wait() == 0, trained.err
    assert "adversary 2 of 2, harm from base, seed 5: gets" in trained.out
    assert "least left to the agent" in trained.out
    again = command(*words, "--aims", "own,harm", "--seeds", "5")
    assert again.wait() == 0, again.err
    assert "2 of 2 adversaries are trained already" in again.out
    for more, sentence in (
        (
            ("--exact", "--aims", "own"),
            "--exact trains nothing, so it takes no --aims, --starts or --seeds; leave out one or the other.",
        ),
        (("--jobs", "2"), "--jobs is how many adversaries train at once; say which with --aims, --starts or --seeds."),
        (("--aims", ""), "A search for the worst case needs at least one aim."),
    ):
        refused = command(*words, *more)
        assert (refused.wait(), refused.err.strip()) == (2, sentence)
