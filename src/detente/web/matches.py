"""All matches that people play: one background thread with one event loop, as an engine is not made for several threads.

    open ──> loop: resolve the opponent (loads a model) ── play ──> RUNS/played/TIME-GAME-ID.jsonl
                     └── a page that was closed: its match is given up after a while

Must not import torch; the policies of a match do, when a model plays.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from detente import family_file, games
from detente.config import Config, load
from detente.errors import UserError, unknown
from detente.files import replace_text
from detente.games import family_of
from detente.games.base import Game
from detente.games.roles import roles
from detente.matches import Counted, in_turn, play
from detente.options import AnswerOptions
from detente.policies import Policies, check_seat
from detente.presets import preset_names
from detente.records import Episode, Round, write_episodes
from detente.web.match import HUMAN, LiveMatch, MatchPlayers
from detente.web.names import opponent_name
from detente.web.runs import PLAYED
from detente.web.safety import leads_out

PATIENCE_S = 300.0  # a browser asks at least once a minute for a page that is open, even one in the background
KEEP_S = 3600.0  # how long a finished game can still be looked at here
MOST = 32  # matches at the same time
MODELS = 3  # games whose loaded models are kept while no match needs them


@dataclass
class Visited:
    """A match, and the time at which its page last asked for it."""

    match: LiveMatch
    when: float


class Matches:
    """Opens matches and knows them by their ids."""

    def __init__(
        self,
        given: Path,
        *,
        games: Mapping[str, Config] | None = None,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.given, self.root, self.games = given, given.resolve(), games or {}
        self.patience_s, self.clock = patience_s, clock
        self._matches: dict[str, Visited] = {}
        self._policies: dict[str, Policies] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    def open(self, game: str, opponent: str, seat: int) -> LiveMatch:
        """Start a match of a preset's game, or of a game by name, against the opponent; UserError where that cannot be."""
        policies = policies_for(game, self.games)
        made = policies.game
        if not 0 <= seat < made.num_players:
            raise UserError(f"The game {made.name} has the seats 1 to {made.num_players}, not {seat + 1}.")
        matches = [visited.match for visited in list(self._matches.values())]
        if sum(match.stage in ("opening", "playing") for match in matches) >= MOST:
            raise UserError(f"{MOST} games are being played here already; finish one of them first.")
        name = opponent_name(self.root, opponent, self.given)
        for other in range(made.num_players):
            if other != seat:
                check_seat(made, name, other)
        role = roles(made)[seat] if roles(made) else ""
        public = family_of(made).tells_points(made)
        match = LiveMatch(secrets.token_hex(8), game, opponent.strip(), seat, made.num_players, role, public=public)
        self._matches[match.id] = Visited(match, self.clock())
        asyncio.run_coroutine_threadsafe(self._play(match, policies, name), self._running())
        return match

    def match(self, id: str) -> LiveMatch:
        """The match with that id, whose page is thus still open; KeyError where there is none."""
        visited = self._matches[id]
        visited.when = self.clock()
        return visited.match

    def close(self) -> None:
        """End the loop; matches that are not finished are given up."""
        loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_end(), loop)
            self._thread.join(1.0)  # a model that is being loaded cannot be interrupted; its thread ends with the program

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop; its thread starts with the first match and ends with the program."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="matches", daemon=True)
                self._thread.start()
                asyncio.run_coroutine_threadsafe(self._tidy(), self._loop)
            return self._loop

    async def _play(self, match: LiveMatch, fresh: Policies, name: str) -> None:
        game = fresh.game
        try:
            policies = self._policies.setdefault(match.title, fresh)
            policy = policies.resolve(name)
            policies.check_room([policy])
            sitting = [HUMAN if seat == match.seat else policy for seat in range(game.num_players)]
            match.stage = "playing"
            (episode,) = await play(
                MatchPlayers(match, policies),
                game,
                in_turn(sitting, 1),
                stream=Counted(secrets.randbits(31)),
                on_round=lambda played: _add(match, played),
            )
        except Exception as error:  # the page of this match says so, and the other matches go on
            match.problem, match.stage = sentence(error), "failed"
            return
        try:
            match.saved = self._save(match, game, episode)
        except Exception as error:
            match.problem = sentence(error)
        match.stage = "over"  # changed last: a page that sees it stops asking

    def _save(self, match: LiveMatch, game: Game, episode: Episode) -> str:
        folder = self.root / PLAYED
        if folder.is_symlink() and leads_out(self.root, folder):
            raise UserError(f"The game was not saved: {PLAYED} leads out of this folder of runs.")
        name = re.sub(r"\W+", "_", game.name)
        file = folder / f"{datetime.now():%Y%m%d-%H%M%S}-{name}-{match.id}.jsonl"
        try:
            write_episodes(file, [episode])
            replace_text(folder / family_file.FILE, family_file.joined(folder, game))
        except OSError as error:
            raise UserError(f"The game was not saved: {error.strerror or error}.") from error
        return f"{PLAYED}/{file.name}"

    async def _tidy(self) -> None:
        """Give up and forget matches whose pages are gone, and models that no match needs."""
        while True:
            await asyncio.sleep(min(5.0, self.patience_s / 4))
            for id, visited in list(self._matches.items()):
                idle, match = self.clock() - visited.when, visited.match
                if match.stage == "playing" and idle > self.patience_s and not match.thinking:
                    match.give_up()
                elif match.stage in ("over", "failed") and idle > KEEP_S:
                    del self._matches[id]
            used = {
                visited.match.title for visited in list(self._matches.values()) if visited.match.stage in ("opening", "playing")
            }
            for game in [game for game in self._policies if game not in used][:-MODELS]:
                self._policies.pop(game).close()


def policies_for(name: str, own: Mapping[str, Config]) -> Policies:
    """The policies that can play the game of a preset, with the preset's options, or the game of that name; or one's ``own``."""
    if name in own:
        return Policies.of(own[name])
    if name in preset_names():
        return Policies.of(load(name))
    if name in games.GAMES:  # and never a name that would import something
        return Policies(games.make(name), AnswerOptions())
    raise unknown("game or preset", name, {*own, *games.GAMES, *preset_names()})


def sentence(error: BaseException) -> str:
    """An error for a person."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, UserError):
        return str(error)
    return f"This did not work: {' '.join(f'{type(error).__name__} {error}'.split())}."


async def _end() -> None:
    """Cancel all tasks of the loop, and stop it."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    asyncio.get_running_loop().stop()


def _add(match: LiveMatch, played: Round) -> None:
    match.rounds = (*match.rounds, played)
