"""Options that were renamed: their former names work wherever options are given, and say so once."""

import logging
from pathlib import Path

import pytest

from detente import config, former
from detente.errors import UserError


@pytest.fixture(autouse=True)
def nothing_noticed() -> None:
    former._notice.cache_clear()


def test_a_former_name_works_on_the_command_line_and_the_later_of_two_counts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert config.load("ipd", ["answer.policy=free", "answer.max_tokens=3"]).answer.decoding == "free"
        assert config.load("ipd", ["answer.policy=free", "answer.decoding=retry"]).answer.decoding == "retry"
        assert config.load("ipd", ["answer.decoding=free", "answer.policy=retry"]).answer.decoding == "retry"
    assert caplog.messages == ["The option answer.policy is now called answer.decoding; its former name still works."]


def test_a_former_name_works_in_a_preset_file_and_under_an_algorithm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("game: ipd\nanswer: {policy: free}\nalgorithms: {sum_of_rewards: {answer: {policy: retry}}}\n")
    assert config.load(str(file)).answer.decoding == "free"
    assert config.load(str(file), ["algorithm=sum_of_rewards"]).answer.decoding == "retry"
    assert config.load(str(file), ["answer.decoding=constrained"]).answer.decoding == "constrained"
    assert len(caplog.messages) == 1


def test_the_options_of_a_former_run_are_read_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = config.to_yaml(config.load("ipd", ["answer.decoding=free"]))
    (tmp_path / "config.yaml").write_text(text.replace("  decoding: free", "  policy: free"))
    assert config.read(tmp_path / "config.yaml") == config.load(str(tmp_path / "config.yaml"))
    assert config.to_yaml(config.read(tmp_path / "config.yaml")) == text
    assert caplog.messages == []


def test_both_names_in_one_place_are_one_too_many(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("game: ipd\nanswer: {policy: free, decoding: free}\n")
    with pytest.raises(UserError, match=r"answer\.decoding is given twice: answer\.policy is its former name; leave that out"):
        config.load(str(file))


@pytest.mark.parametrize("options", ["answer: free", "answer: [policy]", "answer:", "learners: {main: 3}", "learners: [policy]"])
def test_what_is_no_mapping_is_left_to_the_check_of_options(options: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"game: ipd\n{options}\n")
    with pytest.raises(UserError, match=r"mine|answer|learner"):
        config.load(str(file))


def test_the_values_given_are_not_changed() -> None:
    given = {"answer": {"policy": "free", "retries": 2}}
    assert former.renamed(given) == {"answer": {"decoding": "free", "retries": 2}}
    assert given == {"answer": {"policy": "free", "retries": 2}}


def test_runs_of_before_the_baseline_of_the_weight_keep_theirs(tmp_path: Path) -> None:
    """Without a baseline of the credit the weight had none; a run of today says what it has."""
    learners = [
        "learners.a.credit.baseline=none",
        "learners.b.credit.baseline=group",
        "learners.c.credit.gamma=0.5",
        "seats=[a,b,c]",
    ]
    path = tmp_path / "config.yaml"
    for baseline, (run, a, b, c) in {"none": ("none", "none", None, "none"), "group": (None, "none", None, None)}.items():
        today = config.load("ipd", [f"credit.baseline={baseline}", *learners])
        path.write_text(text := config.to_yaml(today))
        assert config.read(path) == today
        path.write_text("".join(line for line in text.splitlines(keepends=True) if "weight_" not in line))
        before = config.read(path)
        assert before.credit.weight_baseline == run
        assert config.load(str(tmp_path)) == before
        assert [before.learner(name).credit.weight_baseline for name in "abc"] == [a, b, c]
