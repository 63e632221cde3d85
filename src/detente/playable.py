"""What can be played by its name: a preset, a preset file, a run folder, or a game that needs no preset.

"ipd"  "mine.yaml"  "runs/x" ── load ──┐
"chicken"  "my_games:Chess" ── load_game ──> Config
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from detente import games
from detente.config import Config, load, load_game
from detente.errors import UserError, unknown
from detente.presets import is_preset, preset_names


def options_of(name: str, overrides: Sequence[str] = (), *, trust: bool = False, without: Collection[str] = ()) -> Config:
    """The options of a preset, a preset file, a run folder, or of a game by its name, ``module:attribute`` for one of your own.

    What a preset says of ``without`` does not count. UserError says what is wrong.
    """
    if is_preset(name):
        return load(name, overrides, trust=trust, without=without)
    if name in games.GAMES or ":" in name:
        config = load_game(name, overrides)
        return config if config.preset else config.model_copy(update={"preset": name})
    if "/" in name:
        raise UserError(f"{name} is not a run folder: it has no config.yaml.")
    raise unknown("game or preset", name, {*games.GAMES, *preset_names()})
