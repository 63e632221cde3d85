"""How reports read a game in a mechanism: what scripts of the game inside get there, and a round of it for a reader."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from detente.games.family import family_of
from detente.games.mechanisms.measures import inside_round
from detente.games.reading import Anchor, Meet, Notes, Plot, Reading
from detente.records import Round

MATCHES = 16  # each with its own seed: exact where nothing is random


def reading(game: Any, meet: Meet) -> Reading:
    """What all get who cooperate and who defect in the game inside, without the mechanism."""
    inner = family_of(game.of)
    named = {"cooperate": inner.cooperator(game.of), "defect": inner.defector(game.of)}
    lines = tuple(
        Anchor(f"all {what} {points:.3g}", points)
        for what, name in named.items()
        if name is not None
        for points in [_mean(game, meet, name)]
    )
    return Reading(
        facts=("reward", "inside_cooperation"),
        contrast=("reward", "inside_cooperation"),
        anchors=lines,
        plots=(
            Plot(("reward",), "Points per round in self-play", anchors=lines),
            Plot(("inside_cooperation",), "Cooperation in the game inside", (0, 1)),
        ),
        note=", ".join(f"{line.label}" for line in lines) + (" points per round and player" if lines else ""),
    )


def _mean(game: Any, meet: Meet, name: str) -> float:
    episodes = meet(game, (name,) * game.num_players, MATCHES)
    return fmean(episode.mean_reward(player) for episode in episodes for player in range(game.num_players))


def notes(game: Any, played: Round) -> Notes | None:
    """Those of the game inside, where all play it together."""
    groups = played.info.get("groups", [])
    if len(groups) != 1 or list(groups[0]) != list(range(game.num_players)):
        return None
    return family_of(game.of).notes(game.of, inside_round(played, groups[0], 0, game.topics))
