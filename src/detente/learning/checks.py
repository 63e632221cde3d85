"""What can be checked of a run before a model is loaded.

    Config ── names, strategies, models, trials, algorithms ──> the game, or a UserError for the first thing that is wrong

Must not import torch.
"""

from __future__ import annotations

import re

from detente import models
from detente.config import Config
from detente.errors import UserError
from detente.games import configured
from detente.games.base import Game
from detente.games.family import can_face, seats_for, strategies_for
from detente.games.roles import seat_name
from detente.learning import algorithms, shaping
from detente.learning.opponents import check_updates
from detente.learning.trials import check_trials
from detente.players.remote import Remotes
from detente.policies import adapter_folder, check_seats, located

TAKEN = r"lora_|served|scored\d*$|base_model$"  # names of learners that PEFT, or an engine, would take for something else


def check(config: Config, *, begun: bool = False) -> Game:
    """The game of a run, once all is checked that can be without loading a model; UserError for the first thing that is wrong.

    A run that has ``begun`` holds the weights that its learners started from.
    """
    game = configured(config.game, config.measures)
    check_seats(game, config.seats, config.learner_names)
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
            adapter_folder(options.start_from)
    check_trials(config, game)
    check_updates(config)
    algorithms.check(config)
    return game


def _check_scripts(config: Config, game: Game) -> None:
    """UserError for a strategy of the evaluation that can meet no learner, and for a seat that no scripted opponent can take."""
    learning = [seat for seat, name in enumerate(config.seats) if name in config.learner_names]
    for name in config.evaluation.against or ():
        if not any(can_face(game, name, seat) for seat in learning):
            raise UserError(f"evaluation.against names '{name}', which cannot take the seats opposite to any learner.")
    if config.opponents.scripted and len(learning) > 1:
        for seat in learning:
            if not any(seat in seats_for(game, name) for name in config.opponents.scripts):
                raise UserError(f"None of opponents.scripts can play {seat_name(game, seat)} of {game.name}; add one that can.")
