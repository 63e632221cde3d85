"""The task of Inspect, with Inspect's own mock model; the log is read back as any reader of logs does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: make test-ecosystem brings it")

from inspect_ai import eval as evaluate
from inspect_ai.log import EvalLog, bundle_log_dir, read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from detente import play
from detente.errors import UserError
from detente.inspect import social_dilemmas
from detente.records import Episode

pytestmark = pytest.mark.ecosystem
TASK = "detente/social_dilemmas"


def model(*answers: str) -> Any:
    """A mock model that gives these answers in turn, over and over; the usage is told so that nothing is counted."""
    given = iter(answers * 1000)

    def answer(*_: Any) -> ModelOutput:
        output = ModelOutput.from_content("mockllm/model", next(given))
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model("mockllm/model", custom_outputs=answer, memoize=False)


def log(folder: Path, answers: tuple[str, ...], **parameters: Any) -> EvalLog:
    """The log of an evaluation, read back from its file."""
    (written,) = evaluate(TASK, model(*answers), task_args=parameters, log_dir=str(folder), display="none", max_samples=1)
    assert written.status == "success", written.error
    return read_eval_log(written.location)


def numbers(read: EvalLog) -> dict[str, float]:
    assert read.results
    return {name: metric.value for score in read.results.scores for name, metric in score.metrics.items()}


def test_a_model_that_says_a_label_earns_what_our_own_play_pays(tmp_path: Path) -> None:
    read = log(tmp_path, ("<A>",), game="ipd", opponent="always_defect", episodes=3, seed=7, overrides="game.rounds=4")
    assert numbers(read)["mean"] == pytest.approx(0.0)
    assert numbers(read)["cooperation_rate"] == 1.0
    assert numbers(read)["opponent_reward"] == 5.0
    assert numbers(read)["invalid"] == 0.0
    assert read.samples
    for index, sample in enumerate(read.samples):
        assert sample.scores
        episode = Episode.from_json(json.dumps((sample.scores["points"].metadata or {})["episode"]))
        (ours,) = play("ipd", ["always_cooperate", "always_defect"], seed=7 + index, overrides=["game.rounds=4"])
        assert (episode.seed, episode.rewards(0), episode.rewards(1)) == (ours.seed, ours.rewards(0), ours.rewards(1))
        assert [turn.prompt for turn in episode.turns(0)] == [message.text for message in sample.messages if message.role == "user"]


def test_it_may_talk_and_sit_elsewhere_and_say_nonsense(tmp_path: Path) -> None:
    read = log(tmp_path, ("I hold upper.", "pardon?"), game="trust_and_split", opponent="fair_half", episodes=2, seat=1)
    assert 0 < numbers(read)["invalid"] <= 1
    assert read.samples
    assert all(sample.messages[-1].role == "assistant" for sample in read.samples)


def test_several_opponents_have_a_seat_each(tmp_path: Path) -> None:
    read = log(tmp_path, ("?",), game="donor", opponent=["random"] * 3, episodes=1, overrides=["game.players=4", "game.rounds=2"])
    assert read.samples
    assert len((read.samples[0].scores or {})["points"].metadata["episode"]["policies"]) == 4


def test_the_viewer_takes_the_log(tmp_path: Path) -> None:
    log(tmp_path / "logs", ("<A>",), episodes=1)
    bundle_log_dir(str(tmp_path / "logs"), str(tmp_path / "view"))
    assert (tmp_path / "view" / "index.html").exists()
    assert list((tmp_path / "view" / "logs").glob("*.eval"))


@pytest.mark.parametrize(
    ("parameters", "right"),
    [
        ({"game": "idp"}, "did you mean 'ipd'"),
        ({"opponent": "tit_for_tet"}, "did you mean 'tit_for_tat'"),
        ({"opponent": ["random", "random"]}, "The game ipd has 2 seats"),
        ({"opponent": "runs/nowhere"}, "no run or adapter folder"),
        ({"episodes": 0}, "at least 1"),
        ({"seat": 2}, "the seats 0 to 1"),
        ({"overrides": "game.round=3"}, "game.rounds|rounds"),
    ],
)
def test_what_makes_no_task_is_a_sentence(parameters: dict[str, Any], right: str) -> None:
    with pytest.raises(UserError, match=right) as caught:
        social_dilemmas(**parameters)
    assert caught.value.message == str(caught.value)  # type: ignore[attr-defined]


def test_the_command_prints_the_sentence_alone(tmp_path: Path) -> None:
    words = ["eval", TASK, "--model", "mockllm/model", "-T", "game=idp", "--display", "plain"]
    inspect = Path(sys.executable).with_name("inspect")
    done = subprocess.run([inspect, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "There is no game or preset 'idp'" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
