"""One hand that deals the seats: seeds, records and how many play at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from detente.games import make
from detente.matches import Counted, Guest, Named, Pairs, Probes, Scripts, in_turn, play, play_scripts, play_sync
from detente.players.base import MemorylessPlayer
from detente.players.scripted import scripted
from detente.records import Completion, PolicyRef, Seating
from detente.rollout import Match, play_matches
from detente.seeding import derive

NICE, NASTY, RANDOM = (PolicyRef("script", name) for name in ("always_cooperate", "always_defect", "random"))
GAME = make("ipd", rounds=2)


@dataclass
class Noted:
    """Scripts that note whom they were asked for; at most ``most`` episodes at once."""

    most: int | None = None
    asked: list[Any] = field(default_factory=list[Any])

    def player(self, policy: Any, *, chat: Any, seed: Any) -> Any:
        self.asked.append((policy.name, chat, seed))
        return scripted(policy.name, seed, GAME)

    def within(self, game: Any) -> Any:
        return self

    def briefing(self, policy: Any) -> str:
        return ""

    def at_once(self, sitting: Any) -> Any:
        self.sitting = list(sitting)
        return self.most


SEATING = Seating((NICE, NASTY), ("main", None), iteration=4, group=3, index=7)


@pytest.mark.parametrize(
    ("stream", "game", "first", "second"),
    [
        (Named((5, "g"), (5, "e", 1)), derive(5, "g", 3), derive(5, "e", 1, 7, 0), derive(5, "e", 1, 7, 1)),
        (Counted(40), 47, derive(47, "seat", 0), derive(47, "seat", 1)),
        (Pairs(), 7, 14, 15),
        (Probes(1), derive(0, "exploitability", 7), derive(0, "responder", 7), derive(0, "agent", "always_cooperate", 7)),
    ],
)
def test_the_stream_gives_every_seed_and_the_seating_the_place_of_the_record(
    stream: Any, game: Any, first: Any, second: Any
) -> None:
    seats = Noted()
    (episode,) = play_sync(seats, GAME, [SEATING], stream=stream)
    assert episode.seed == game
    assert seats.asked == [("always_cooperate", f"7/0/{first}", first), ("always_defect", f"7/1/{second}", second)]
    assert (episode.policies, episode.learners) == (SEATING.policies, SEATING.learners)
    assert (episode.iteration, episode.group, episode.index) == (4, 3, 7)
    assert seats.sitting == [NICE, NASTY]


def test_seeds_of_earlier_versions_stay() -> None:
    """What arenas and runs that were begun before hold; these numbers must never change."""
    stream = Named((0, "arena game"), (0, "arena", 0, 1))
    assert stream.game(Seating((NICE, NASTY), group=2, index=2)) == 4003375121837010083
    assert stream.player(Seating((NICE, NASTY), group=2, index=2), 1) == 5975776698625914841


def test_it_is_the_play_of_matches_made_by_hand() -> None:
    by_hand = [Match(GAME, n, [scripted("random", 2 * n + seat, GAME) for seat in (0, 1)], group=n, index=n) for n in range(5)]
    assert play_scripts(GAME, ("random", "random"), 5) == play_matches(by_hand)


def test_a_loop_that_runs_already_can_play_and_watch() -> None:
    rounds, episodes = [], []  # type: ignore[var-annotated]

    async def main() -> Any:
        seatings = in_turn([NICE, RANDOM], 3)
        return await play(Scripts(GAME), GAME, seatings, stream=Counted(), watch=episodes.append, on_round=rounds.append)

    played = asyncio.run(main())
    assert [episode.index for episode in played] == [episode.group for episode in played] == [0, 1, 2]
    assert sorted(episode.index for episode in episodes) == [0, 1, 2]
    assert len(rounds) == 6


@pytest.mark.parametrize(("asked", "allowed", "most"), [(None, None, 6), (None, 2, 2), (1, 2, 1), (4, None, 4)])
def test_those_who_sit_say_how_many_play_at_once_unless_the_caller_does(asked: int | None, allowed: int | None, most: int) -> None:
    playing, peak = 0, 0

    class Slow(MemorylessPlayer):
        policy = PolicyRef("script", "slow")

        def __init__(self) -> None:
            self.begun = False

        async def act(self, observation: Any) -> Any:
            nonlocal playing, peak
            playing += not self.begun
            self.begun, peak = True, max(peak, playing)
            await asyncio.sleep(0.001)
            return Completion(observation.choices[0], self.policy)

        def close(self) -> None:
            nonlocal playing
            playing -= 1

    seatings = in_turn([Slow.policy, NICE], 6)
    play_sync(Guest(Noted(allowed), Slow.policy, Slow), GAME, seatings, stream=Counted(), concurrency=asked)
    assert peak == most


def test_a_group_can_play_another_game_and_its_players_know_which() -> None:
    short, table = make("ipd", rounds=1), make("stag_hunt", rounds=3)
    seatings = [Seating((NICE, NASTY), group=group, index=group) for group in range(3)]
    episodes = play_sync(Scripts(GAME), GAME, seatings, stream=Counted(), games={0: short, 2: table})
    assert [episode.game for episode in episodes] == [game.parameters() for game in (short, GAME, table)]

    @dataclass(frozen=True)
    class Knowing(Scripts):
        def within(self, game: Any) -> Any:
            return Knowing(game)

        def player(self, policy: Any, *, chat: Any, seed: Any) -> Any:
            known.append(self.rules)
            return super().player(policy, chat=chat, seed=seed)

    known: list[Any] = []
    play_sync(Knowing(GAME), GAME, seatings, stream=Counted(), games={2: table})
    assert known == [GAME] * 4 + [table] * 2
