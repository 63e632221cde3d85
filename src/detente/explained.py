"""``detente.preferences``: recorded episodes read, and explained by what an agent prefers. Importing it loads no model library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detente.errors import UserError
from detente.evaluation.choices import choices_of
from detente.evaluation.preferences import Form
from detente.evaluation.preferences import preferences as explained
from detente.export.values import read_by_source
from detente.files import replace_text
from detente.visible import visible

if TYPE_CHECKING:
    from detente.learning.watchers import Watcher


def preferences(
    sources: str | Path | Sequence[str | Path],
    agent: str,
    *,
    form: Form = "altruism",
    versions: int = 1,
    train: str | None = None,
    run: str | Path | None = None,
    overrides: Sequence[str] = (),
    watchers: Sequence[Watcher] = (),
    trust: bool = False,
) -> dict[str, Any]:
    """Which social preference explains an agent's choices in episodes whose payoffs vary: altruism, or envy and guilt.

    ``sources`` are run folders, arena folders and files of episodes; ``agent`` is a name as all of them have it, and of an adapter
    the newest ``versions`` that played in each count. See ``detente.evaluation.preferences``.

    ``train`` names a preset or a run folder with whose options, and ``overrides``, a learner trains in the folder ``run`` until it
    does the same; "imitation" in what is returned, and in preferences.json there, has the reward that it trained on. See
    ``detente.evaluation.imitation``.
    """
    if (train is None) != (run is None):
        missing, given = ("run, the folder of that run", "train") if run is None else ("train, a preset", "run")
        raise UserError(f"{given} is about the training of a learner that imitates {agent}; give {missing}, too, or neither.")
    if train is None and overrides:
        raise UserError(f"overrides, {overrides[0]}, are about the training of a learner; give train, a preset, and run, too.")
    named = [sources] if isinstance(sources, str | Path) else sources
    choices = choices_of(read_by_source(*named), agent, versions, [visible(str(source), keep="") for source in named])
    result = explained(agent, choices, form).to_json()
    if train is None or run is None:
        return result
    from detente.evaluation.imitation import imitated, learner_config

    config = learner_config(train, overrides, choices, trust=trust)
    result["imitation"] = imitated(choices, form, config, Path(run), watchers=watchers)
    replace_text(Path(run) / "preferences.json", json.dumps(result, indent=2) + "\n")
    return result
