"""Options that change over a run: what ``x`` is between its start and ``x_final``. Must not import torch."""

from __future__ import annotations

from typing import TypeVar

from detente.options import AlgorithmOptions

_Own = TypeVar("_Own", bound=AlgorithmOptions)


def annealed(start: float, final: float | None, progress: float) -> float:
    """Linear interpolation, ``progress`` from 0 (start) to 1 (final); final None: constant."""
    return start if final is None else start + (final - start) * progress


def options_at(options: _Own, progress: float) -> _Own:
    """The options at a point of the run, from 0 to 1: where there are ``x`` and ``x_final``, x is the value between them."""
    ends = {name: getattr(options, f"{name}_final", None) for name in type(options).model_fields}
    present = {name: annealed(getattr(options, name), end, progress) for name, end in ends.items() if end is not None}
    return options.model_copy(update=present)
