"""The live display, with a clock of its own: plain lines, the picture in a terminal, and the numbers in both."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from detente.config import Config, build
from detente.progress import Progress, sparkline

CONFIG = build(
    {"preset": "ipd", "game": "ipd", "iterations": 40, "episodes": 8, "seats": ["main", "other"], "learners": {"other": {}}}
)
SPLIT = build({"preset": "split", "game": "trust_and_split", "iterations": 40, "episodes": 8, "seats": ["main", "main"]})
METRICS = {
    "reward/main": 2.5,
    "reward/other": 1.5,
    "self_play/reward/main": 2.9,
    "cooperate_given/main/CC": 0.97,
    "cooperate_given/main/CD": None,
    "mismatch/kl": 3.1e-7,
}
SUMMARY = {
    "learners": {
        "main": {
            "algorithm": "reinforce",
            "self_play": {"reward": 1.04},
            "partners": {"main": 1.04},
            "against": {"always_cooperate": {"reward": 4.96, "opponent_reward": 0.06}},
        }
    }
}
SPLITTING = {
    "reward/main": 31.0,
    "self_play/reward/main": 30.0,
    "self_play/efficiency/main": 0.6,
    "self_play/ask_higher/main": 9.5,
    "self_play/ask_lower/main": 8.25,
    "self_play/truthfulness/main": 0.5,
    "ask_lower_given/main/greedy": 9.0,
}


class Clock:
    """Seconds, as the test says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def started(terminal: bool, first: int = 0, every_s: float = 10, config: Config = CONFIG) -> tuple[Progress, Clock]:
    clock = Clock()
    progress = Progress(Console(file=StringIO(), force_terminal=terminal, width=160), every_s=every_s, clock=clock)
    progress.start(config, Path("runs/x"), first)
    return progress, clock


def shown(progress: Progress) -> str:
    return progress.console.file.getvalue()  # type: ignore[attr-defined]


def test_a_file_gets_a_line_now_and_then_and_at_the_end() -> None:
    progress, clock = started(terminal=False)
    for _ in range(40):
        clock.now += 4
        progress.iteration(METRICS)
    numbers = [line.split("/")[0] for line in shown(progress).splitlines()]
    # 4 s an iteration, a line after at least 10 s: every third, from the first on; 40 is both the third after 37 and the last
    assert numbers == [f"x: iteration {n}" for n in range(1, 41, 3)]


def test_a_line_tells_pace_time_left_and_every_learner() -> None:
    progress, clock = started(terminal=False, first=10)
    clock.now += 3
    progress.iteration(METRICS)
    last = shown(progress).splitlines()[-1]
    assert last == (
        "x: iteration 11/40; 20.0 a minute, 0:01:27 left; main: reward 2.50, with each other 2.90, CC 0.97; "
        "other: reward 1.50; engine-learner mismatch 3.1e-07"
    )


def test_a_line_says_where_no_learner_has_had_anything_to_train_on() -> None:
    progress, _ = started(terminal=False)
    progress.iteration({"curriculum/fresh": 1.0})
    assert "main: nothing to train on yet; other: nothing to train on yet" in shown(progress)


def test_the_pace_follows_the_last_twenty_iterations() -> None:
    progress, clock = started(terminal=False)
    for seconds in [60] * 10 + [1] * 20:
        clock.now += seconds
        progress.iteration(METRICS)
    assert progress._pace() == "60.0 a minute, 0:00:10 left"


def test_a_terminal_shows_bars_and_the_table() -> None:
    progress, clock = started(terminal=True)
    with progress:
        clock.now += 3
        progress.iteration(METRICS)
        progress.episode()
        progress.evaluating("tit_for_tat")
    said = shown(progress)
    assert all(part in said for part in ("1/40", "1/8", "20.0 a minute", "CC", "0.97", "other", "tit_for_tat", "runs/x"))
    assert "CD" not in said  # never visited
    assert "\x1b[?25h" in said  # the cursor is back


@pytest.mark.parametrize(("overlap", "afterwards"), [(0, 0), (1, 8)])
def test_the_bar_of_episodes_is_that_of_the_rollout_under_way(overlap: int, afterwards: int) -> None:
    progress, _ = started(terminal=False, config=CONFIG.model_copy(update={"overlap": overlap}))
    for _ in range(8):
        progress.episode()
    assert progress.episodes == 8
    for _ in range(8 * overlap):  # beside the update
        progress.episode()
    progress.iteration(METRICS)
    assert progress.episodes == afterwards
    progress.episode()
    assert progress.episodes == 1


def test_the_terminal_is_given_back_when_training_fails() -> None:
    progress, _ = started(terminal=True)
    with pytest.raises(KeyboardInterrupt), progress:
        raise KeyboardInterrupt
    assert shown(progress).rstrip().endswith("\x1b[?25h")


def test_the_end_shows_the_final_evaluation() -> None:
    progress, _ = started(terminal=False)
    progress.finish(SUMMARY)
    rows = [line.split() for line in shown(progress).splitlines()]
    assert ["itself", "1.04", "1.04"] in rows
    assert ["always_cooperate", "4.96", "0.06"] in rows


def test_the_end_names_every_partner_and_its_points() -> None:
    progress, _ = started(terminal=False)
    partners = {"main": 2.0, "[red]runs/other[/red]": 0.375, "openai:m@http://x/v1": 7.0}
    learner = {"algorithm": "reinforce", "self_play": {"reward": 8.875}, "partners": partners, "against": {}}
    progress.finish({"learners": {"main": learner}})
    rows = [line.split() for line in shown(progress).splitlines()]
    assert rows[-3:] == [
        ["itself", "8.88", "2.00"],
        ["[red]runs/other[/red]", "8.88", "0.38"],
        ["openai:m@http://x/v1", "8.88", "7.00"],
    ]


def test_a_splitting_game_shows_efficiency_asks_and_truth() -> None:
    progress, clock = started(terminal=False, config=SPLIT)
    clock.now += 3
    progress.iteration(SPLITTING)
    assert (
        "main: reward 31.00, self-play 30.00, efficiency 0.60, ask higher 9.50, ask lower 8.25, after greedy 9.00, truthful 0.50"
        in shown(progress)
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_invalid_answers_are_told_of(terminal: bool) -> None:
    progress, clock = started(terminal)
    clock.now += 20
    progress.iteration(METRICS | {"invalid/main": 0.004, "invalid/other": 0.25})
    progress._stop()
    assert "25% of other's answers were invalid" in shown(progress)
    assert "of main's answers" not in shown(progress)


def test_the_end_of_a_splitting_game_shows_what_was_asked() -> None:
    progress, _ = started(terminal=False, config=SPLIT)
    itself = {"reward": 50.0, "efficiency": 1.0, "ask_higher": 10.0, "ask_lower": 0.0, "truthfulness": 1.0}
    greedy = {"reward": 27.0, "opponent_reward": 30.5, "efficiency": 0.575, "ask_higher": 10.0, "ask_lower": None}
    learner = {"algorithm": "reinforce", "self_play": itself, "partners": {"main": 50.0}, "against": {"greedy": greedy}}
    progress.finish({"learners": {"main": learner}})
    rows = [line.split() for line in shown(progress).splitlines()]
    assert ["against", "own", "theirs", "efficiency", "ask", "higher", "ask", "lower", "truthful"] in rows
    assert ["itself", "50.00", "50.00", "1.00", "10.00", "0.00", "1.00"] in rows
    assert ["greedy", "27.00", "30.50", "0.57", "10.00"] in rows  # nothing was of less value to it


def test_a_sparkline_has_a_fixed_scale() -> None:
    assert sparkline([], 0, 5) == ""
    assert sparkline([0, 2.5, 5], 0, 5) == "▁▅█"
    assert sparkline([1, 1, 5, 3], 0, 8, width=2) == "▂▅"  # the means 1 and 4 of 8


def test_where_seats_differ_there_is_a_row_for_each_role() -> None:
    config = build({"preset": "trust", "game": "matching_pennies", "iterations": 40, "episodes": 8})
    progress, clock = started(terminal=False, config=config)
    clock.now += 4
    progress.iteration({"reward/main": 0.0, "role/seat 1/reward/main": 0.5, "role/seat 2/reward/main": -0.5})
    assert "main as seat 1: reward 0.50; main as seat 2: reward -0.50" in shown(progress)
    scores = {
        role: {
            "self_play": {"reward": own},
            "partners": {partner: -own},
            "against": {"random": {"reward": own, "opponent_reward": -own}},
        }
        for role, own, partner in (("seat 1", 0.25, "main as seat 2"), ("seat 2", -0.25, "main as seat 1"))
    }
    result = {"algorithm": "reinforce", "self_play": {"reward": 0.0}, "partners": {"main": 0.0}, "against": {}, "roles": scores}
    progress.finish({"learners": {"main": result}})
    rows = [line.split() for line in shown(progress).splitlines()[-5:]]
    assert rows == [
        ["as", "against", "own", "theirs"],
        ["seat", "1", "main", "as", "seat", "2", "0.25", "-0.25"],
        ["seat", "1", "random", "0.25", "-0.25"],
        ["seat", "2", "main", "as", "seat", "1", "-0.25", "0.25"],
        ["seat", "2", "random", "-0.25", "0.25"],
    ]
