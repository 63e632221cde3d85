"""The folder that is published: the adapter as plain PEFT reads it, its card with pictures, and a base model that nobody else has.

README.md  *.png  adapter_config.json  adapter_model.safetensors  detente.json  base/ (of pocket and its like)
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from detente import adapters
from detente.adapters import files as adapter_files
from detente.hub.card import card
from detente.hub.measured import Measured, measured
from detente.hub.source import Source
from detente.reports.run import Run

BASE = "base"  # the folder of a base model beside the adapter


def write(folder: Path, source: Source, repository: str) -> None:
    """Fill an empty folder; nothing in it names a folder of this machine."""
    _adapter(folder, source)
    if source.beside is not None:
        (folder / BASE).mkdir()
        for file in sorted(path for path in source.beside.iterdir() if path.is_file() and not path.name.startswith(".")):
            shutil.copyfile(file, folder / BASE / file.name)
    pictures = {} if source.run is None else _pictures(folder, source.run)
    known = Measured() if source.run is None else measured(source.folder, source.run.path.resolve())
    (folder / "README.md").write_text(card(source, repository, pictures, known), encoding="utf-8")


def _adapter(folder: Path, source: Source) -> None:
    """The two files of PEFT and detente's own, with the base model by the name that others have it by."""
    shutil.copyfile(source.folder / adapters.WEIGHTS, folder / adapters.WEIGHTS)
    config = adapter_files.json_object(source.folder / adapter_files.CONFIG)
    if source.hub_id:
        config["base_model_name_or_path"] = source.hub_id
    (folder / adapter_files.CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    if source.fingerprint:
        name = source.hub_id if adapters.base_folder(source.folder) else source.base
        identity = {"base_model": name, "base_fingerprint": source.fingerprint}
        (folder / adapters.CARD).write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")


def _pictures(folder: Path, run: Run) -> dict[str, str]:
    """Draw how training went and what the learners do after what: {file name: what it shows}."""
    from detente.reports.plots import save
    from detente.reports.sections import parts
    from detente.reports.study import Study

    study = Study((run,))
    drawn = {}
    for name in ("training", *(chapter.name for chapter in study.reading.chapters)):
        section = parts(study)[name](study)
        if section is not None and section.picture is not None:
            save(section.picture, folder / f"{name}.png")
            drawn[f"{name}.png"] = section.title
    return drawn
