"""The running score beside a person."""

from __future__ import annotations

import detente
from detente.games import make
from detente.players.score import Score, with_score
from detente.records import PolicyRef

HUMAN, SCRIPT = PolicyRef("human", "human"), PolicyRef("script", "tit_for_tat")


def test_points_of_others_are_told_only_where_the_rules_tell_them() -> None:
    secret, public = (Score([1], ["player 1", "player 2"], tells, totals=[4.0, 2.5]) for tells in (False, True))
    assert secret.line([1.0, -2.0]) == "Points so far: you 2.5 (-2)"
    assert public.line([1.0, -2.0]) == "Points so far: player 1 4 (+1), you 2.5 (-2)"


def test_two_persons_are_told_by_their_names() -> None:
    score = Score([0, 2], ["player 1", "player 2", "player 3"], False, totals=[1.0, 2.0, 3.0])
    assert score.line([1, 1, 1]) == "Points so far: player 1 1 (+1), player 3 3 (+1)"


def test_each_episode_starts_at_0_and_nothing_is_counted_without_a_person() -> None:
    game, (episode,) = make("ipd"), detente.play("ipd", ["tit_for_tat", "always_defect"])
    watched: list[object] = []
    over, count = with_score(game, [HUMAN, SCRIPT], watched.append)
    assert over is not None
    assert count is not None
    score = count.__self__  # type: ignore[attr-defined]
    for played in episode.rounds:
        count(played)
    assert score.totals == [9, 14]
    over(episode)
    assert (score.totals, watched) == ([], [episode])
    assert with_score(game, [SCRIPT, SCRIPT], None) == (None, None)
