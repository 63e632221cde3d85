"""Scripts as references: what they get and do when they meet, played and not remembered, so that it holds for any parameters.

    name on the first seat, others on the rest ── meet ──> measures of the first, and what the others get

Of games whose seats do not differ. Must not import anything above games.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from detente.games.family import family_of, measures, strategies_for
from detente.games.reading import Meet, Numbers, Result
from detente.games.sides import mean

MATCHES = 16  # per encounter, each with its own seed: exact where nothing is random


@lru_cache(maxsize=256)
def encounter(meet: Meet, game: Any, name: str, others: str) -> Numbers:
    """What the script of that name is, as measures, while others sit on all other seats; ``opponent_reward``: a mean over them."""
    episodes = meet(game, (name, *(others for _ in range(1, game.num_players))), MATCHES)
    theirs = mean(episode.mean_reward(player) for episode in episodes for player in range(1, game.num_players))
    seats = range(game.num_players) if name == others else (0,)
    own = measures(game, [(episode, seat) for episode in episodes for seat in seats]) | {"opponent_reward": theirs}
    return {measure: value for measure, value in own.items() if value is not None}


def played(names: Sequence[str], game: Any, meet: Meet, strategies: Sequence[str]) -> tuple[Result, ...]:
    """Scripts measured like learners: with themselves, and against those of the strategies that play this game."""
    known = [strategy for strategy in strategies if strategy in strategies_for(game)]
    tables = {measure.name for measure in family_of(game).measures if measure.table}
    results = []
    for name in names:
        alone = encounter(meet, game, name, name)
        given = {key: value for key, value in alone.items() if key.partition("/")[0] in tables}
        own = {key: value for key, value in alone.items() if key not in given}
        results.append(
            Result(learner=name, self_play=own, against={other: encounter(meet, game, name, other) for other in known}, given=given)
        )
    return tuple(results)
