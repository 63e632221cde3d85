"""What is published: an adapter version by the name of an agent, its base model as others find it, and the run it is from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from detente import adapters, models
from detente.adapters import files as adapter_files
from detente.errors import UserError
from detente.hub.service import check_name
from detente.policies import adapter_folder
from detente.reports.run import Run, read_runs

LICENCES = {"pocket": "mit", "pocket_groups": "mit", "smollm2-135m": "apache-2.0"}
HUB_IDS = {"smollm2-135m": models.SMOLLM2_HUB}


@dataclass(frozen=True)
class Source:
    """An adapter folder and what is known of it.

    ``base`` is the name of the base model as detente has it, ``hub_id`` its id on the hub ("" where it is inside the package),
    ``beside`` the folder of a base model that is published with the adapter, and ``fingerprint`` identifies it ("" where the
    adapter does not say). ``run``, ``learner`` (as the run's results name it) and ``version`` say where it is from; a folder that
    lies in no run has no ``run``.
    """

    folder: Path
    base: str
    hub_id: str
    beside: Path | None
    fingerprint: str
    licence: str
    run: Run | None = None
    learner: str = ""
    version: int = 0

    @property
    def final(self) -> bool:
        """Whether the run's final evaluation is of this version."""
        return self.run is not None and self.run.summary is not None and self.run.summary.get("iterations") == self.version


def of(agent: str, *, base: str = "", licence: str = "") -> Source:
    """The source of that name. UserError for what is no adapter or does not load, and where base model or licence must be named."""
    folder = adapter_folder(agent)
    adapter_files.read(folder)
    name, fingerprint = adapters.trained_on(folder)
    if name in models.INSIDE:
        adapters.load(folder, models.load(name, device="cpu"))  # UserError where the base that would lie beside it is another
        beside, hub_id = models.folder(name), ""
    else:
        beside, hub_id = None, base or _hub_id(folder, name)
        check_name(hub_id)
    if base and beside:
        raise UserError(f"The base model of {folder} is '{name}', which is published with it; leave out --base.")
    licence = licence or LICENCES.get(name, "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence):
        raise UserError(
            f"'{licence}' is no licence that the hub knows; name one such as --license mit or --license apache-2.0."
            if licence
            else f"Say under which licence the adapter of '{name}' is published, such as --license apache-2.0."
        )
    run, learner, version = _record(folder)
    return Source(folder, name, hub_id, beside, fingerprint or "", licence, run, learner, version)


def _hub_id(folder: Path, name: str) -> str:
    """The id on the hub of a base model that is not inside the package; UserError where it was named by a folder."""
    if adapters.base_folder(folder) or os.path.isabs(name) or os.path.isdir(name):
        raise UserError(
            f"The base model of {folder} was a folder, {name}, which nobody else has; say which model of the hub it is, such as "
            "--base Qwen/Qwen2.5-0.5B-Instruct."
        )
    if not name:
        raise UserError(f"The adapter {folder} does not say which base model it belongs to; name that of the hub with --base.")
    return HUB_IDS.get(name, name)


def _record(folder: Path) -> tuple[Run | None, str, int]:
    """The run of an adapter in RUN/adapters/LEARNER/VERSION, its learner, and the version."""
    place = folder.resolve()
    if not place.name.isdecimal() or place.parent.parent.name != "adapters" or not (place.parents[2] / "config.yaml").is_file():
        return None, "", 0
    (run,) = read_runs([place.parents[2]])
    name = place.parent.name
    shared = (learner for learner in run.learners if name == learner or re.fullmatch(rf"{re.escape(learner)}_\d+", name))
    return run, next(shared, name), int(place.name)
