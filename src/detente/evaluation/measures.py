"""What the policy is, as numbers: read from episodes, one player's side at a time.

Every game: reward (points per round) and the share of invalid answers. Matrix games with a cooperative action: cooperation rate and
P(cooperate | last joint move), the latter from the policy's own probabilities where the record has them. Must not load torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from detente.games.base import Game
from detente.games.matrix import MatrixGame
from detente.records import Episode

Side = tuple[Episode, int]  # an episode as one of its players saw it
JOINT_MOVES = ("start", "CC", "CD", "DC", "DD")  # one's own last move first


def measures(game: Game, sides: Sequence[Side]) -> dict[str, float | None]:
    """All measures that the game has, by name; empty without episodes."""
    if not sides:
        return {}
    result: dict[str, float | None] = {
        "reward": mean(episode.mean_reward(player) for episode, player in sides),
        "invalid": mean(float(not turn.valid) for episode, player in sides for turn in episode.turns(player)),
    }
    if isinstance(game, MatrixGame) and game.cooperative is not None:
        result["cooperation_rate"] = mean(
            float(turn.action == game.cooperative) for episode, player in sides for turn in episode.turns(player)
        )
        given = cooperate_given(game, sides)
        result |= {f"cooperate_given/{move}": given[move] for move in JOINT_MOVES}
    return result


def cooperate_given(game: MatrixGame, sides: Iterable[Side]) -> dict[str, float | None]:
    """Mean probability of the cooperative action after each last joint move; None for a move that was never seen.

    The probability is the policy's own where it was recorded, else 1 or 0 for what was played.
    """
    found: dict[str, list[float]] = defaultdict(list)
    cooperative = game.actions.index(game.cooperative or game.actions[0])
    for episode, player in sides:
        last = "start"
        for one_round in episode.rounds:
            by_player = {turn.player: turn for turn in one_round.turns}
            own = by_player[player]
            known = own.completion.probabilities
            found[last].append(known[cooperative] if known else float(own.action == game.cooperative))
            last = "".join("C" if by_player[p].action == game.cooperative else "D" for p in (player, 1 - player))
    return {move: mean(found[move]) if move in found else None for move in JOINT_MOVES}


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean; nan of nothing."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else float("nan")
