"""A learner that imitates an agent: the discriminator finds known preferences, and a run goes on as if it had not been stopped."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import detente
from detente import cli
from detente.cli.preferences import show
from detente.errors import UserError
from detente.evaluation.choices import Choice, choices_of
from detente.evaluation.imitation import Imitation, imitated, learner_config, policy, target
from detente.records import read_episodes, write_episodes
from tests.evaluation.made_choices import softmax_episodes

TABLES = [[[[3, 3], [0, 5]], [[5, 0], [1, 1]]], [[[3, 3], [2, 4]], [[4, 2], [1, 1]]]]


def learner(choices: Sequence[Choice], cooperates: np.ndarray[Any, Any]) -> list[Choice]:
    """The same situations met by a learner that cooperates with these probabilities."""
    rng = np.random.default_rng(1)
    return [
        replace(choice, action=int(rng.random() > p), probabilities=(float(p), float(1 - p)), chance=float(p))
        for choice, p in zip(choices, cooperates, strict=True)
    ]


def test_the_discriminator_finds_the_preferences_of_an_agent() -> None:
    """Beside a learner that never changes: what it is rewarded for then leads it to the agent."""
    agent = choices_of([softmax_episodes(lambda own, other: own + 0.5 * other, 40, 3, rounds=50)], "me")
    imitation = Imitation(agent, "altruism")
    undecided = learner(agent, np.full(len(agent), 0.5))
    for _ in range(40):
        imitation.step(undecided)
    own, others = imitation.weights
    assert own == pytest.approx(1, abs=0.2)
    assert others / own == pytest.approx(0.5, abs=0.15)


def test_the_reward_is_f_less_log_pi() -> None:
    episodes = softmax_episodes(lambda own, other: own, 2, 3, rounds=4)
    first, *_ = agent = choices_of([episodes], "me")
    imitation = Imitation(agent, "altruism")
    trained = replace(episodes[0], learners=("main", None))
    assert imitation.reward(trained) == [[0, 0]] * 4  # a script is certain, and nothing is known of what it brings
    imitation.weights, imitation.levels = np.array([1.0, 0.0]), {first.situation: 2.0}
    cells = episodes[0].game["payoffs"]
    likely = [imitation.beliefs[0, ()].get((other,), 0) for other in (0, 1)]
    means = [sum(share * cell[0] for share, cell in zip(likely, row, strict=True)) for row in cells]
    assert imitation.reward(trained)[0] == [pytest.approx(means[first.action] - sum(means) / 2 - 2), 0]
    assert imitation.reward(episodes[0]) == [[0, 0]] * 4  # nobody trains there


def test_a_policy_is_the_mean_of_its_probabilities() -> None:
    agent = choices_of([softmax_episodes(lambda own, other: own, 2, 3, rounds=1)], "me")
    certain = learner(agent, np.array([0.9, 0.1]))
    seen = policy(certain, [choice.situation for choice in certain])
    assert seen == pytest.approx(np.array([[0.7, 0.3], [0.3, 0.7]]))  # each drawn half the way to the mean of both


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """What an agent that wavers did in two payoff tables."""
    file = tmp_path / "agent.jsonl"
    write_episodes(file, softmax_episodes(lambda own, other: own + 0.4 * other, 40, 5, 10, TABLES))
    return file


@pytest.fixture
def options(agent: Path, tiny_model: str) -> list[str]:
    words = "device=cpu game.rounds=3 episodes=8 group_size=2 lora.rank=2 evaluation.episodes=0 opponents.kept=0"
    return [f"model={tiny_model}", *words.split(), f"vary.payoffs.choices={TABLES}"]


def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(agent: Path, options: list[str], tmp_path: Path) -> None:
    def imitate(run: str, iterations: int) -> dict[str, Any]:
        changes = [*options, f"iterations={iterations}"]
        return detente.preferences(agent, "me", train="ipd", run=tmp_path / run, overrides=changes)

    whole = imitate("whole", 3)
    imitate("parts", 2)
    parts = imitate("parts", 3)
    assert parts == whole == json.loads((tmp_path / "parts" / "preferences.json").read_text())
    rows = [
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()] for run in ("whole", "parts")
    ]
    assert [row["loss/main"] for row in rows[0]] == [row["loss/main"] for row in rows[1]]
    assert [row["shaped_reward/main"] for row in rows[0]] == [row["shaped_reward/main"] for row in rows[1]]
    weights = [
        (tmp_path / run / "adapters" / "main" / "000003" / "adapter_model.safetensors").read_bytes() for run in ("whole", "parts")
    ]
    assert weights[0] == weights[1]
    learned = whole["imitation"]
    assert 0 <= learned["distance"] <= 1
    assert [sum(policy) for policy in learned["after"]["start"]] == pytest.approx([1, 1])


def test_a_run_imitates_the_same_to_its_end(agent: Path, options: list[str], tmp_path: Path) -> None:
    first, *rest = choices = choices_of([read_episodes(agent)], "me")
    run, config = tmp_path / "run", learner_config("ipd", options, choices)
    (run / "checkpoint" / "000001").mkdir(parents=True)
    with pytest.raises(UserError, match=r"^The run .*run does not say what its learner imitates, and not these 400 choices in "):
        imitated(choices, "altruism", config, run)
    Imitation(choices, "altruism").start(config, run, 0)
    with pytest.raises(UserError, match=r"imitates 400 choices in the form altruism, and not these 400 choices in the form ineq"):
        imitated(choices, "inequity", config, run)
    for others in (rest, [replace(first, action=1 - first.action), *rest]):
        with pytest.raises(UserError, match=r"; give --run another folder, or repeat the agent, episodes, versions and form that"):
            imitated(others, "altruism", config, run)
    (run / "imitation.json").write_text("{}")
    with pytest.raises(UserError, match=r"imitation\.json cannot be read as what a learner imitates: "):
        imitated(choices, "altruism", config, run)
    assert target([*rest, replace(first, seed=(3, 0))], "altruism") == target(choices, "altruism")


def test_an_iteration_without_choices_is_no_step(
    agent: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a curriculum scores new settings alone."""
    command = ["preferences", str(agent), "--agent", "me", "--train", "ipd", "--run", str(tmp_path / "run"), *options]
    command += ["curriculum=plr", "curriculum.replay=1"]
    assert cli.main([*command, "iterations=1"]) == 2
    assert cli.main([*command, "iterations=2"]) == 0
    result = json.loads((tmp_path / "run" / "preferences.json").read_text())
    assert result["imitation"]["iterations"] == 2
    show(result, "csv")
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines()[-2:])
    ratio = result["imitation"]["ratios"]["altruism"]
    assert row["imitation_value"] == ("" if ratio is None else str(ratio))
    assert float(row["imitation_distance"]) == result["imitation"]["distance"]


def test_what_does_not_fit(agent: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choices = choices_of([read_episodes(agent)], "me")
    with pytest.raises(UserError, match=r"^The agent met payoffs that training with ipd does not have; .* vary\.payoffs\.choices="):
        learner_config("ipd", options[:-1], choices)
    with pytest.raises(UserError, match=r"^Imitation decides by itself .*; leave out 'credit\.gamma=0\.9'\.$"):
        learner_config("ipd", [*options, "credit.gamma=0.9"], choices)
    with pytest.raises(UserError, match=r"^One learner imitates the agent, and ipd has several, main, other"):
        learner_config("ipd", [*options, "seats=[main,other]", "learners.other.update_every=2"], choices)
    command = ["preferences", str(agent), "--agent", "me"]
    assert cli.main([*command, "iterations=3"]) == 2
    assert capsys.readouterr().err.startswith("iterations=3 is about the training of a learner; add --train PRESET.")
    assert cli.main([*command, "--run", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()
