"""What can be checked of a run before a model is loaded.

    Config ── names, strategies, models, trials, algorithms ──> the game, or a UserError for the first thing that is wrong

Must not import torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial

from detente import models, trackers
from detente.config import Config
from detente.errors import UserError, counted
from detente.games import configured
from detente.games.base import Game
from detente.games.family import can_face, seats_for, strategies_for
from detente.games.roles import roles, seat_name
from detente.learning import algorithms, shaping
from detente.learning.branches import check_branches
from detente.learning.opponents import check_updates
from detente.learning.planning import check_curriculum
from detente.learning.trials import check_trials
from detente.learning.variation import possible_games
from detente.options import LearnerConfig
from detente.players.remote import Remotes
from detente.policies import adapter_folder, check_seat, check_seats, located
from detente.room import in_silence
from detente.rotation import own_seats

TAKEN = r"lora_|served|scored\d*$|base_model$"  # names of learners that PEFT, or an engine, would take for something else


def check(config: Config, *, begun: bool = False) -> Game:
    """The game of a run, once all is checked that can be without loading a model; UserError for the first thing that is wrong.

    A run that has ``begun`` holds the weights that its learners started from.
    """
    game = configured(config.game, config.measures)
    _check_sitting(config, game)
    if not config.learner_names:
        raise UserError(f"No seat learns: name a seat 'main' or list its learner under learners; seats are {list(config.seats)}.")
    for name in config.learner_names:
        if re.match(TAKEN, name):
            raise UserError(f"A learner cannot be named '{name}', which is the name of a part of the model; give it another.")
    for name in (*config.opponents.scripts, *(config.evaluation.against or ())):
        if located(name, game)[0].kind != "script":
            raise UserError(f"'{name}' is no scripted strategy; those that can play: {', '.join(strategies_for(game))}.")
    _check_scripts(config, game)
    for name in config.seats:
        if name == "human":
            raise UserError("A person cannot sit in training, where many episodes are played at once; play with 'detente play'.")
        if name not in config.learner_names and located(name, game)[0].kind == "remote":
            if config.executor.kind == "ray":
                raise UserError(f"executor=ray cannot seat the remote model '{name}': its limits are counted in one process.")
            Remotes(config.answer, config.remote).resolve(name)  # raises where a key, a package or a proxy is missing
    for model in dict.fromkeys((config.model, *config.models.values())):
        models.check_name(model)
    if config.device not in ("auto", "cpu"):  # these there are everywhere, so torch need not be asked
        models.device_named(config.device)
    for name in config.learner_names:
        options = config.learner(name)
        if options.reward:
            shaping.named(options.reward, game.num_players)
        if options.start_from and not begun:
            adapter_folder(start_of(options.start_from, name))
    check_trials(config, game)
    check_curriculum(config)
    check_branches(config, game)
    check_updates(config, game)
    algorithms.check(config)
    trackers.check(config.trackers)
    _check_lengths(config, possible_games(config, partial(_check_varied, config, game)))
    return game


def _check_sitting(config: Config, game: Game) -> None:
    """UserError unless those in ``seats`` can sit where they are to, and somebody learns in every group."""
    if not config.opponents.rotate:
        check_seats(game, config.seats, config.learner_names)
        return
    players, seats = game.num_players, counted(game.num_players, "seat")
    others = [name for name in config.seats if name not in config.learner_names]
    if len(config.seats) < players:
        raise UserError(f"The game {game.name} has {seats}, and the option seats names {len(config.seats)}; name as many or more.")
    if len(set(config.seats)) == 1:
        raise UserError(
            f"opponents.rotate changes nothing where '{config.seats[0]}' takes all seats; leave it out, or name others."
        )
    if len(others) >= players:
        raise UserError(
            f"opponents.rotate would draw groups in which nobody learns: {', '.join(others)} do not, and the game {game.name} has "
            f"{seats}; name at most {players - 1} who do not, or let scripts play by opponents.scripted."
        )
    beside = players - len(others) - 1  # the fewest that learn beside the focal seat
    if (replaced := config.opponents.replaced) is not None and replaced > beside:
        raise UserError(f"opponents.replaced ({replaced}) is more than there are other seats that learn ({beside}).")
    for name in others:
        for seat in range(players):
            check_seat(game, name, seat)


def start_of(source: str, learner: str) -> str:
    """The name of the adapter that a learner starts from: in a run with several learners, that of the learner of the same name."""
    place, at, version = (source, "", "") if os.path.isdir(source) or "@" not in source else source.rpartition("@")
    own = f"{place}/adapters/{learner}"
    several = os.path.isdir(own) and sum(entry.is_dir() for entry in os.scandir(os.path.dirname(own))) > 1
    return f"{own}{at}{version}" if several else source


def _check_varied(config: Config, game: Game, varied: Game) -> None:
    """UserError for a game of training that those of the run's game cannot play."""
    _check_sitting(config, varied)
    if varied.num_players != game.num_players:
        raise UserError(f"It has {varied.num_players} players, and the run's game has {game.num_players}.")
    if roles(varied) != roles(game):
        own, others = (" and ".join(roles(of)) or "none" for of in (varied, game))
        raise UserError(f"Its roles are {own}, and those of the run's game {others}.")
    for name in (*config.opponents.scripts, *config.seats):
        if name not in config.learner_names:
            located(name, varied)
    _check_opponents(config, varied)
    check_trials(config, varied)
    check_branches(config, varied)


def _check_lengths(config: Config, games: Mapping[int, Sequence[Game]]) -> None:
    """UserError where an update compares episodes of different lengths; ``games`` are played from their iteration on."""
    compared = {name: own for name in config.learner_names if _compares_all(own := config.learner(name))}
    lengths = {start: {_lengths(game) for game in played} for start, played in games.items()} if compared else {}
    for name, own in compared.items():
        amid = [start for start in lengths if own.collect != "last" and start % own.update_every]
        if any(len(within) > 1 for within in lengths.values()) or (amid and len(set().union(*lengths.values())) > 1):
            trial = own.collect == "trial"
            raise UserError(
                f"{'collect=trial' if trial else 'credit.baseline=batch'} of the learner '{name}' compares all episodes of "
                f"an update (update_every={own.update_every}), and vary gives them different lengths; let these change by stages, "
                f"between updates{'' if trial else ', or set credit.baseline=group'}."
            )


def _compares_all(options: LearnerConfig) -> bool:
    """Whether episodes of different groups are compared with each other."""
    return options.collect == "trial" or options.credit.baseline == "batch"


def _lengths(game: Game) -> tuple[int, ...]:
    return tuple(len(episode.rounds) for episode in in_silence(game))


def _check_scripts(config: Config, game: Game) -> None:
    """UserError for a strategy of the evaluation that can meet no learner, and for a seat that no scripted opponent can take."""
    learning = _learning(config, game)
    for name in config.evaluation.against or ():
        if not any(can_face(game, name, seat) for seat in learning):
            raise UserError(f"evaluation.against names '{name}', which cannot take the seats opposite to any learner.")
    _check_opponents(config, game)


def _learning(config: Config, game: Game) -> list[int]:
    """The seats of learners."""
    return sorted({seat for name in config.learner_names for seat in own_seats(config, name, game.num_players)})


def _check_opponents(config: Config, game: Game) -> None:
    """UserError for a seat that no scripted opponent of training can take."""
    learning = _learning(config, game)
    if config.opponents.scripted and len(learning) > 1:
        for seat in learning:
            if not any(seat in seats_for(game, name) for name in config.opponents.scripts):
                raise UserError(f"None of opponents.scripts can play {seat_name(game, seat)} of {game.name}; add one that can.")
