"""The library in a few calls: ``play``, ``train`` and the measurements, from ``arena`` to ``worst_case``.

Importing this module loads no model library; playing with scripts alone needs none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detente import family_file, matches
from detente.config import Config, load_game
from detente.errors import UserError
from detente.files import replace_text
from detente.games.base import Game
from detente.games.own_measures import with_measures
from detente.playable import options_of as options_of
from detente.players.score import with_score
from detente.policies import Policies, check_seats
from detente.records import Episode, episode_writer

if TYPE_CHECKING:
    from detente.evaluation.adversaries import Watch as WatchSearch
    from detente.evaluation.arena import Watch
    from detente.learning.watchers import Watcher

ABOUT_PLAY = ("game", "answer", "remote", "dtype", "device", "engine", "measures")  # the options that playing looks at


def play(
    game_or_preset: str | Game,
    players: Sequence[str],
    seed: int = 0,
    episodes: int = 1,
    *,
    overrides: Sequence[str] = (),
    trust: bool = False,
    on_episode: Callable[[Episode], None] | None = None,
    save: str | Path | None = None,
) -> list[Episode]:
    """Play episodes between players given by name, seat by seat: ``play("ipd", ["tit_for_tat", "runs/quickstart/reinforce"])``.

    A name is a scripted strategy, ``axelrod:NAME``, ``human``, ``model:ID``, a run folder (``runs/x``, ``runs/x@40``), a learner
    of a run (``runs/x/adapters/rival``), an adapter folder or ``openai:MODEL@URL``. A preset brings its game and the way models
    answer; ``overrides`` are options over it, such as ``"game.rounds=3"``. Episode i has the game seed ``seed + i``.
    ``on_episode`` is told of each episode when it finishes, in any order. ``save`` names a file, .jsonl or .jsonl.gz, that holds
    every episode that finished, with family.json beside it. UserError for names that nobody answers to, and for a
    preset file that names code as its game, unless ``trust`` is given.
    """
    with closing(_policies(game_or_preset, overrides, trust)) as policies:
        game = policies.game
        check_seats(game, players)
        sitting = [policies.resolve(name) for name in players]
        policies.check_room(sitting)
        seatings, stream = matches.in_turn(sitting, episodes), matches.Counted(seed)
        with nullcontext(on_episode) if save is None else _saved(Path(save), game, on_episode) as kept:
            watch, on_round = with_score(game, sitting, kept)
            return matches.play_sync(policies, game, seatings, stream=stream, watch=watch, on_round=on_round)


def train(config: Config, run: str | Path, *, watchers: Sequence[Watcher] = (), progress: Watcher | None = None) -> Path:
    """Train as ``config`` says in a run folder, resuming one that exists; see ``detente.learning.loop.train``.

    ``watchers`` are told how it goes and may stop it, e.g. ``detente.progress.Progress()``, which shows bars and numbers, or one of
    your own, derived from ``detente.Watcher``; ``progress`` is one more of them.
    """
    from detente.learning import loop

    return loop.train(config, Path(run), watchers=_all_watchers(watchers, progress))


def arena(
    preset: str | Config,
    agents: Sequence[str],
    folder: str | Path,
    *,
    episodes: int = 64,
    watch: Watch | None = None,
    trust: bool = False,
    anywhere: bool = False,
    mechanisms: Sequence[str] = (),
) -> dict[str, Any]:
    """Let every agent play every agent and write arena.json, arena.png and index.html; goes on where an arena was stopped.

    Agents are named as for ``play``. Where the seats of a game differ, a trained agent takes the seats of its training, unless
    ``anywhere`` is given. Returns what arena.json holds; see ``detente.evaluation.arena.arena``. With ``mechanisms``, such as
    "repetition:look_back=1", there is an arena for the game alone and one under each, and mechanisms.json has their cells.
    """
    from detente.evaluation import arena as cross_play
    from detente.reports.cross_play import cross_play_page

    config = options_of(preset, trust=trust) if isinstance(preset, str) else preset
    if mechanisms:
        from detente.comparisons import under_mechanisms

        return under_mechanisms(config, agents, Path(folder), mechanisms, episodes, watch, anywhere)
    results = cross_play.arena(config, agents, Path(folder), episodes=episodes, watch=watch, anywhere=anywhere)
    cross_play_page(Path(folder))
    return results


def best_response(
    preset: str,
    against: str,
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    memory: int | None = None,
    watchers: Sequence[Watcher] = (),
    progress: Watcher | None = None,
    trust: bool = False,
    role: str | None = None,
) -> dict[str, Any]:
    """Train a fresh learner against a frozen agent and say what it gains; see ``detente.evaluation.best_response``.

    Where the seats of a game differ, the agent sits where it was trained and the responder on the other seats; ``role`` is the
    responder's where the agent leaves it a choice. Writes best_response.json and report/best_response.html into the run folder.
    Returns what the former holds.
    """
    from detente.evaluation import best_response as exploiting
    from detente.reports.best_response import best_response_page

    config = exploiting.responder_config(preset, against, overrides, trust=trust, role=role)
    result = exploiting.best_response(config, Path(run), watchers=_all_watchers(watchers, progress), memory=memory)
    best_response_page(Path(run))
    return result


def worst_case(
    preset: str,
    against: str,
    folder: str | Path,
    overrides: Sequence[str] = (),
    *,
    aims: Sequence[str] = ("own", "harm", "margin"),
    starts: Sequence[str] = ("base",),
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    memory: int | None = None,
    watch: WatchSearch | None = None,
    trust: bool = False,
    role: str | None = None,
) -> dict[str, Any]:
    """Train an adversary for every aim, start and seed, and say how bad the worst of them is for a frozen agent.

    Aims: ``own`` points, ``harm`` (minus the agent's points), ``margin`` (own less the agent's). Starts: ``base`` (a fresh
    adapter), ``agent`` (the agent's own weights), and runs or adapter folders by name. ``jobs``: how many train at once. Goes on
    where it was stopped. Writes worst_case.json, worst_case.png and index.html into the folder; returns what the first holds. See
    ``detente.evaluation.worst_case``.
    """
    from detente.evaluation import worst_case as search
    from detente.reports.worst_case import worst_case_page

    options: dict[str, Any] = {"memory": memory, "watch": watch, "trust": trust, "role": role}
    result = search.worst_case(
        preset, against, Path(folder), overrides, aims=aims, starts=starts, seeds=seeds, jobs=jobs, **options
    )
    worst_case_page(Path(folder))
    return result


def fingerprint(
    preset: str | Config, agents: Sequence[str], folder: str | Path, *, episodes: int = 128, trust: bool = False
) -> dict[str, Any]:
    """Write fingerprint.json, fingerprint.png and index.html about what the agents do after what; returns what the first holds.

    Agents are named as for ``play``; see ``detente.evaluation.fingerprint``.
    """
    from detente.evaluation.fingerprint import fingerprints
    from detente.reports.fingerprint import fingerprint_page

    config = options_of(preset, trust=trust) if isinstance(preset, str) else preset
    with closing(Policies.of(config)) as policies:
        content = fingerprints(policies, agents, config, episodes=episodes)
    Path(folder).mkdir(parents=True, exist_ok=True)
    family_file.write(Path(folder), policies.game, ())
    replace_text(Path(folder) / "fingerprint.json", json.dumps(content, indent=2) + "\n")
    fingerprint_page(Path(folder))
    return content


def attacks(
    preset: str | Config, agents: Sequence[str], folder: str | Path, *, episodes: int = 64, trust: bool = False
) -> dict[str, Any]:
    """Write attacks.json, attacks.png and index.html about how far attacks through messages move the agents; returns what the first
    holds.

    Agents are named as for ``play``; see ``detente.evaluation.attacks``.
    """
    from detente.evaluation import attacks as attacking
    from detente.reports.attacks import attacks_page

    config = options_of(preset, trust=trust) if isinstance(preset, str) else preset
    with closing(Policies.of(config)) as policies:
        content = attacking.attacks(policies, agents, config, episodes=episodes)
    Path(folder).mkdir(parents=True, exist_ok=True)
    replace_text(Path(folder) / "attacks.json", json.dumps(content, indent=2) + "\n")
    attacks_page(Path(folder), content)
    return content


def transfer(
    runs: Sequence[str],
    suite: str,
    folder: str | Path,
    *,
    episodes: int | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Measure agents in the games of a suite and write transfer.json, transfer.png and index.html; goes on where it was stopped.

    ``runs`` are run folders, adapters and models, named as for ``play``; runs that differ only by their seed are told as one. A
    suite is named, or a YAML file; it needs ``trust`` if it names code. Returns what transfer.json holds; see
    ``detente.evaluation.transfer.transfer``.
    """
    from detente.evaluation import suites
    from detente.evaluation import transfer as transferring
    from detente.reports.transfer import transfer_page

    read = suites.load(suite, trust=trust)
    content = transferring.transfer(runs, read, Path(folder), episodes=episodes, seed=seed, watch=watch)
    transfer_page(Path(folder), content)
    return content


def _policies(name: str | Game, overrides: Sequence[str], trust: bool) -> Policies:
    about = ABOUT_PLAY if isinstance(name, str) else ABOUT_PLAY[1:]  # a Game has its parameters
    for item in overrides:
        if re.split(r"[.=]", item)[0] not in about:
            raise UserError(f"'{item}' is no option of playing; those begin with {', '.join(about)}, e.g. answer.temperature=0.5.")
    if not isinstance(name, str):
        config = load_game(name.name, overrides)
        game = with_measures(name, config.measures)
        return Policies(game, config.answer, dtype=config.dtype, device=config.device, remote=config.remote, engine=config.engine)
    return Policies.of(options_of(name, overrides, trust=trust))


@contextmanager
def _saved(file: Path, game: Game, watch: Callable[[Episode], None] | None) -> Iterator[Callable[[Episode], None]]:
    """A function that tells ``watch`` of an episode and writes it, with what is known of the game beside the file."""
    if file.is_file() and file.stat().st_size:
        raise UserError(f"{file} holds something already; give --save another file.")
    known = family_file.joined(file.parent, game)
    try:
        with episode_writer(file) as keep:

            def take(episode: Episode) -> None:
                keep(episode)
                if watch is not None:
                    watch(episode)

            yield take
    finally:
        if file.is_file():
            replace_text(file.parent / family_file.FILE, known)


def _all_watchers(watchers: Sequence[Watcher], progress: Watcher | None) -> tuple[Watcher, ...]:
    if not isinstance(watchers, Iterable):
        raise UserError("Watchers are given as a list, also where there is one: watchers=[...].")
    return (*watchers, *([] if progress is None else [progress]))
