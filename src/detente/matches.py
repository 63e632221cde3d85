"""From seatings to episodes: the only module that makes players, seeds and matches.

    seatings ── Stream: a game seed and a seed per seat ──> players ──> matches ── many at once ──> episodes

A caller says which policy takes which seat, and names the stream of seeds. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from detente.games.base import Game
from detente.players.base import Player
from detente.players.scripted import scripted
from detente.records import Episode, PolicyRef, Round, Seating
from detente.rollout import Match, play_all
from detente.seeding import derive
from detente.together import run

Path = tuple[int | str, ...]
NONE: Mapping[int, Game] = MappingProxyType({})
PLACE = ("learners", "iteration", "group", "index", "alternative_to", "replay", "rounds")  # of a seating, as a match has them


class Seats(Protocol):
    """Makes players of policies, as ``detente.policies.Policies`` does."""

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player: ...

    def within(self, game: Game) -> Seats:
        """The same policies in another game."""
        ...

    def briefing(self, policy: PolicyRef) -> str:
        """What a policy is told after a game's first words, whatever the seating adds to it; "" for nothing."""
        ...

    def at_once(self, sitting: Sequence[PolicyRef]) -> int | None:
        """How many episodes between these policies are played at the same time; None for all."""
        ...


class Stream(Protocol):
    """The seeds of games and players, such as those of a training or of an arena."""

    def game(self, seating: Seating) -> int:
        """The seed of the game: the same for all episodes of a group."""
        ...

    def player(self, seating: Seating, seat: int) -> int: ...


async def play(
    policies: Seats,
    game: Game,
    seatings: Sequence[Seating],
    *,
    stream: Stream,
    games: Mapping[int, Game] = NONE,
    watch: Callable[[Episode], None] | None = None,
    on_round: Callable[[Round], None] | None = None,
    concurrency: int | None = None,
) -> list[Episode]:
    """One episode per seating, in the order given. ``games``: by group, where it is another one than ``game``.

    ``concurrency`` bounds the episodes that are played at the same time (None: as the policies allow). ``watch`` is called with
    every episode when it finishes, in any order, and ``on_round`` with every round. The first failure stops all and is raised.
    """
    sitting = list(dict.fromkeys(policy for seating in seatings for policy in seating.policies))
    places = {group: (policies.within(other), other) for group, other in games.items()}
    matches = [_match(*places.get(seating.group, (policies, game)), seating, stream) for seating in seatings]
    return await play_all(matches, concurrency=concurrency or policies.at_once(sitting), on_episode=watch, on_round=on_round)


def play_sync(
    policies: Seats,
    game: Game,
    seatings: Sequence[Seating],
    *,
    stream: Stream,
    games: Mapping[int, Game] = NONE,
    watch: Callable[[Episode], None] | None = None,
    on_round: Callable[[Round], None] | None = None,
    concurrency: int | None = None,
) -> list[Episode]:
    """``play`` for callers that are not async, also where an event loop runs already."""
    return run(play(policies, game, seatings, stream=stream, games=games, watch=watch, on_round=on_round, concurrency=concurrency))


def play_scripts(game: Game, names: Sequence[str], episodes: int) -> list[Episode]:
    """So many episodes between scripted strategies, on the game seeds 0, 1, 2 and so on."""
    return play_sync(Scripts(game), game, in_turn([PolicyRef("script", name) for name in names], episodes), stream=Pairs())


def in_turn(sitting: Sequence[PolicyRef], episodes: int) -> list[Seating]:
    """So many episodes between the same policies, each on a game seed of its own."""
    return [Seating(tuple(sitting), group=index, index=index) for index in range(episodes)]


def on_seats(policy: PolicyRef, other: PolicyRef, taken: Sequence[int], players: int) -> list[Seating]:
    """An episode for each seat of ``taken``, on a game seed of its own: the policy sits there, the other on all other seats."""
    return [
        Seating(tuple(policy if seat == own else other for seat in range(players)), group=index, index=index)
        for index, own in enumerate(taken)
    ]


def _match(policies: Seats, game: Game, seating: Seating, stream: Stream) -> Match:
    seeds = [stream.player(seating, seat) for seat in range(len(seating.policies))]
    players = [
        policies.player(policy, chat=f"{seating.index}/{seat}/{seed}", seed=seed)
        for seat, (policy, seed) in enumerate(zip(seating.policies, seeds, strict=True))
    ]
    own = [policies.briefing(policy) for policy in seating.policies]
    given = seating.briefing or ("",) * len(own)
    briefing = tuple("\n".join(filter(None, texts)) for texts in zip(own, given, strict=True))
    place = {name: getattr(seating, name) for name in PLACE}
    return Match(game, stream.game(seating), players, **place, briefing=briefing)


# ---- streams


@dataclass(frozen=True, slots=True)
class Named:
    """Seeds derived from two paths: of a game by its group, of a player by its episode and seat."""

    games: Path
    players: Path

    def game(self, seating: Seating) -> int:
        return derive(*self.games, seating.group)

    def player(self, seating: Seating, seat: int) -> int:
        return derive(*self.players, seating.index, seat)


@dataclass(frozen=True, slots=True)
class Counted:
    """Game seeds that a person can choose: ``first``, ``first + 1`` and so on, by episode; players' seeds follow from them."""

    first: int = 0

    def game(self, seating: Seating) -> int:
        return self.first + seating.index

    def player(self, seating: Seating, seat: int) -> int:
        return derive(self.game(seating), "seat", seat)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two scripts on the game seeds 0, 1, 2 and so on, with a seed for each seat of each."""

    def game(self, seating: Seating) -> int:
        return seating.index

    def player(self, seating: Seating, seat: int) -> int:
        return 2 * seating.index + seat


@dataclass(frozen=True, slots=True)
class Probes:
    """The same game seeds for every responder; the agent on ``seat`` draws apart for each."""

    seat: int

    def game(self, seating: Seating) -> int:
        return derive(0, "exploitability", seating.index)

    def player(self, seating: Seating, seat: int) -> int:
        if seat != self.seat:
            return derive(0, "responder", seating.index)
        return derive(0, "agent", str(seating.policies[1 - seat]), seating.index)


# ---- policies without a model


@dataclass(frozen=True)
class Scripts:
    """Scripted strategies of a game only."""

    rules: Game

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        return scripted(policy.name, seed, self.rules)

    def within(self, game: Game) -> Scripts:
        return Scripts(game)

    def briefing(self, policy: PolicyRef) -> str:
        return ""

    def at_once(self, sitting: Sequence[PolicyRef]) -> int | None:
        return None


@dataclass(frozen=True)
class Guest:
    """All policies of ``hosts``, and one more whose players are made by ``make``."""

    hosts: Seats
    policy: PolicyRef
    make: Callable[[], Player]

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        return self.make() if policy == self.policy else self.hosts.player(policy, chat=chat, seed=seed)

    def within(self, game: Game) -> Guest:
        return replace(self, hosts=self.hosts.within(game))

    def briefing(self, policy: PolicyRef) -> str:
        return "" if policy == self.policy else self.hosts.briefing(policy)

    def at_once(self, sitting: Sequence[PolicyRef]) -> int | None:
        return self.hosts.at_once([policy for policy in sitting if policy != self.policy])
