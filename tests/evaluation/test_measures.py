"""What the policy is, computed by hand on an episode of three rounds."""

from __future__ import annotations

from typing import Any

import pytest

from detente.evaluation.measures import mean, measures
from detente.games import make
from detente.games.matrix.measures import cooperate_given
from detente.records import Completion, Episode, PolicyRef, Round, Turn

POLICY = PolicyRef("adapter", "main", 3)
IPD: Any = make("ipd")
POINTS = {"CC": (3.0, 3.0), "CD": (0.0, 5.0), "DC": (5.0, 0.0), "DD": (1.0, 1.0)}


def turn(player: int, action: str, cooperates: float | None = None, valid: bool = True) -> Turn:
    """``cooperates`` is the policy's own probability of C; a script has none."""
    probabilities = () if cooperates is None else (cooperates, 1 - cooperates)
    return Turn(player, "", action, valid, Completion(f"<{action}>", POLICY, probabilities=probabilities))


def episode(*rounds: tuple[Turn, Turn]) -> Episode:
    """Rounds are pairs of turns of player 0 and player 1."""
    played = tuple(Round(turns, POINTS[turns[0].action + turns[1].action], {}) for turns in rounds)
    return Episode(IPD.parameters(), 0, (POLICY, POLICY), played)


HAND_MADE = episode(
    (turn(0, "C", 0.9), turn(1, "C", 0.8)),
    (turn(0, "D", 0.4), turn(1, "C")),
    (turn(0, "C", 0.7, valid=False), turn(1, "D", 0.3)),
)
FIRST, SECOND = (HAND_MADE, 0), (HAND_MADE, 1)


def test_probabilities_stand_after_ones_own_move_first() -> None:
    # player 0 saw CC and then, having defected on a cooperator, DC
    assert cooperate_given(IPD, [FIRST]) == {"start": 0.9, "CC": 0.4, "CD": None, "DC": 0.7, "DD": None}


def test_a_player_without_probabilities_counts_as_what_it_played() -> None:
    # player 1 cooperated after CC without saying how likely that was, and the same second round was CD for it
    assert cooperate_given(IPD, [SECOND]) == {"start": 0.8, "CC": 1.0, "CD": 0.3, "DC": None, "DD": None}


def test_both_players_are_averaged_move_by_move() -> None:
    expected = {"start": 0.85, "CC": 0.7, "CD": 0.3, "DC": 0.7}
    found = cooperate_given(IPD, [FIRST, SECOND])
    assert found.pop("DD") is None
    assert found == pytest.approx(expected)


def test_every_visit_counts_and_the_last_move_of_an_episode_leads_nowhere() -> None:
    other = episode((turn(0, "D", 0.1), turn(1, "D", 0.2)), (turn(0, "D", 0.3), turn(1, "D", 0.5)))
    assert cooperate_given(IPD, [(other, 0)]) == {"start": 0.1, "CC": None, "CD": None, "DC": None, "DD": 0.3}
    assert cooperate_given(IPD, [(other, 0), (other, 1), FIRST])["start"] == pytest.approx((0.1 + 0.2 + 0.9) / 3)
    assert cooperate_given(IPD, [(other, 0), (other, 1)])["DD"] == pytest.approx(0.4)


def test_rewards_rates_and_invalid_answers() -> None:
    found = measures(IPD, [FIRST])
    assert found["reward"] == pytest.approx((3 + 5 + 0) / 3)
    assert found["cooperation_rate"] == pytest.approx(2 / 3)
    assert found["invalid"] == pytest.approx(1 / 3)
    assert found["cooperate_given/CC"] == 0.4
    assert found["cooperate_given/DD"] is None
    both = measures(IPD, [FIRST, SECOND])
    assert both["reward"] == pytest.approx((3 + 3 + 5 + 0 + 0 + 5) / 6)
    assert both["invalid"] == pytest.approx(1 / 6)


def test_the_probability_is_that_of_the_cooperative_action_wherever_it_is_listed() -> None:
    """A record has the probabilities in the order of the observation's choices: the actions of the game."""
    game: Any = make("matrix", payoffs=[[[2, 2]] * 3] * 3, actions=["X", "Y", "Z"], cooperative="X")
    one = Turn(0, "", "Z", True, Completion("<C>", POLICY, probabilities=(0.2, 0.3, 0.5)))
    other = Turn(1, "", "Y", True, Completion("<B>", POLICY, probabilities=(0.6, 0.3, 0.1)))
    played = Episode(game.parameters(), 0, (POLICY, POLICY), (Round((one, other), (2.0, 2.0), {}),) * 2)
    # all but X counts as defection
    assert cooperate_given(game, [(played, 0)]) == {"start": 0.2, "CC": None, "CD": None, "DC": None, "DD": 0.2}
    assert measures(game, [(played, 1)])["cooperation_rate"] == 0


def test_without_a_cooperative_action_there_is_no_cooperation() -> None:
    found = measures(make("matching_pennies"), [FIRST])
    assert found.keys() == {"reward", "invalid"}


def test_without_episodes_there_is_nothing() -> None:
    assert measures(IPD, []) == {}
    assert set(cooperate_given(IPD, []).values()) == {None}
    assert mean([]) is None
