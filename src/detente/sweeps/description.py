"""What a sweep is: its preset, the options of all runs, what is swept, its arms, and every run with its values.

Grid ── described ──> content of sweep.yaml, and of the metadata of outcomes.parquet ── read, checked ──> the same
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from detente.errors import UserError
from detente.faults import first_fault
from detente.files import read_text, reason
from detente.learning.run_folder import MAY_CHANGE
from detente.plain_yaml import SIZE, parse
from detente.stored_shapes import Stored, Text
from detente.sweeps.grid import Grid


class Description(Stored):
    """The shape of the content."""

    preset: Text
    options: dict[Text, Any]
    swept: Annotated[list[Text], Field(min_length=1)]
    arms: dict[Text, dict[Text, Any]]
    runs: Annotated[dict[Text, dict[Text, Any]], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> Description:
        for name, values in self.runs.items():
            if "/" in name or name in (".", "..") or values.keys() != {*self.swept}:
                raise ValueError(f"{name[:100]!r} is no run of it")
        return self


def described(grid: Grid) -> dict[str, Any]:
    """What a sweep is: the content of sweep.yaml. UserError where two runs would have one folder."""
    runs: dict[str, dict[str, Any]] = {}
    for combination in grid.combinations():
        if combination.name in runs:
            raise UserError(
                f"Two runs of this sweep would be called {combination.name}; give arms other names, or sweep them alone."
            )
        runs[combination.name] = dict(combination.values)
    return {
        "preset": grid.preset,
        "options": dict(grid.fixed),
        "swept": list(grid.axes),
        "arms": {name: dict(own) for name, own in grid.arms.items()},
        "runs": runs,
    }


def identity(content: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same in two descriptions of one sweep, which may differ in their values, arms and seeds."""
    options = {option: value for option, value in content["options"].items() if option not in MAY_CHANGE}
    arms = {
        f"{name}: {option}": value
        for name in content["arms"]
        if name in other["arms"]
        for option, value in content["arms"][name].items()
    }
    return {"preset": content["preset"], "swept": ", ".join(content["swept"])} | options | arms


def read(path: Path) -> dict[str, Any]:
    """The content of a sweep.yaml; UserError where it is none."""
    try:
        return checked(parse(read_text(path, SIZE)))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as the description of a sweep: {reason(error)}.") from error


def checked(content: Any) -> dict[str, Any]:
    """The content as it is; ValueError where it does not have the shape."""
    try:
        Description.model_validate(content)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    return dict(content)
