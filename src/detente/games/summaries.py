"""What a player is told of the episodes that it has played with the same others: a briefing, made of their records.

episodes ── outcome of each round, in the words of the game's family ──> counts, or the last of them ──> one text
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from detente.games.base import Game
from detente.games.family import family_of
from detente.records import Episode, Round

Briefing = Literal["none", "counts", "last"]


def summary(briefing: Briefing, game: Game, past: Sequence[Episode], seat: int, seed: int = 0) -> str:
    """The episodes ``past``, in the order played, as the player on ``seat`` is told of them; "" where it is told nothing.

    "counts": how often each outcome came, episode by episode; "last": the last outcome alone. ``seed`` is the game seed of the
    episode that comes next, for a game may call its actions otherwise on every seed.
    """
    if briefing == "none" or not past:
        return ""

    def outcome(played: Round) -> str:
        return family_of(game).outcome(game, played, seat, seed)

    others = "player" if game.num_players == 2 else "players"
    if briefing == "last":
        return f"Your last round with the same {others}: {outcome(past[-1].rounds[-1])}."
    counted = [Counter(outcome(played) for played in episode.rounds) for episode in past]
    lines = ("; ".join(f"{what}: {times}" for what, times in sorted(counts.items())) for counts in counted)
    return "\n".join([f"So far with the same {others}:", *(f"Game {number}: {line}." for number, line in enumerate(lines, 1))])
