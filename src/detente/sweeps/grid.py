"""From the options of a sweep to its combinations.

    "credit.beta=[1,2]", "optimizer.lr=3e-4", seeds 0 and 1 ──> credit.beta=1 seed 0, credit.beta=2 seed 0, credit.beta=1 seed 1 ...

An option is swept where its value is a list that it could not have itself. One that takes a list is swept by a list of lists. An
arm is a name for several options that are set together. Must not import torch.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from detente.config import Config, load
from detente.errors import UserError
from detente.files import dotted, folder_name
from detente.games import configured
from detente.games.annotations import LISTS, UNIONS, annotated
from detente.options import LearnerConfig
from detente.presets import given

ARM, SEED = "arm", "seed"
MOST = 2_000  # runs of a sweep


@dataclass(frozen=True)
class Combination:
    """What one run of a sweep has of everything that is swept, and the overrides that say so, the fixed options among them."""

    values: Mapping[str, Any]
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its run folder: ``credit.beta=0.25-seed0``."""
        return folder_name(*(label(option, value) for option, value in self.values.items()))

    @property
    def words(self) -> str:
        """The same for a sentence: ``credit.beta=0.25, seed0``."""
        return ", ".join(label(option, value) for option, value in self.values.items())


@dataclass(frozen=True)
class Grid:
    """A sweep: the ``fixed`` options of every run, the values of ``swept`` options, the options of each arm, and the seeds."""

    preset: str
    fixed: Mapping[str, Any]
    swept: Mapping[str, Sequence[Any]]
    arms: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]

    @property
    def axes(self) -> dict[str, Sequence[Any]]:
        """Everything that differs between runs, the seeds last."""
        return {**({ARM: list(self.arms)} if self.arms else {}), **self.swept, SEED: self.seeds}

    def combinations(self) -> list[Combination]:
        """Every combination, one seed after another."""
        *others, seeds = self.axes.items()
        made = []
        for seed, *values in itertools.product(seeds[1], *(choices for _, choices in others)):
            chosen = dict(zip((option for option, _ in others), values, strict=True)) | {SEED: seed}
            options = {**self.fixed, **self.arms.get(chosen.get(ARM), {}), **chosen}  # type: ignore[arg-type]
            overrides = tuple(
                f"{option}={json.dumps(value, ensure_ascii=False)}" for option, value in options.items() if option != ARM
            )
            made.append(Combination(chosen, overrides))
        return made


def label(option: str, value: Any) -> str:
    """``credit.beta=0.25``; an arm by its name, a seed as ``seed0``."""
    return text(value) if option == ARM else f"seed{text(value)}" if option == SEED else f"{option}={text(value)}"


def text(value: Any) -> str:
    """A value as it stands on the command line; 1.0 as 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def planned(
    preset: str,
    options: Sequence[str] = (),
    *,
    seeds: Iterable[int] | None = None,
    arms: Mapping[str, Sequence[str]] | None = None,
    trust: bool = False,
) -> Grid:
    """The sweep that these options ask for; without seeds those of the preset. UserError for what is said twice or not at all, and
    for a preset that there is not."""
    config = load(preset, trust=trust)
    asked = dotted(given(options))
    in_arms = {name: _arm(name, own) for name, own in (arms or {}).items()}
    own_seeds = asked.pop(SEED, None)
    if own_seeds is not None and seeds is not None:
        raise UserError("The seeds of a sweep are given once, as --seeds or as seed=.")
    if own_seeds is not None:
        seeds = own_seeds if isinstance(own_seeds, list) else [own_seeds]
    swept = {option: asked[option] for option in sorted(asked) if _is_swept(option, asked[option], config)}
    for name, own in in_arms.items():
        for option in own:
            if option in swept or option == SEED:
                raise UserError(f"The arm {name} sets {option}, which the sweep varies itself; leave one of them out.")
    fixed = {option: value for option, value in asked.items() if option not in swept}
    grid = Grid(preset, fixed, swept, in_arms, [config.seed] if seeds is None else list(seeds))
    for axis, values in grid.axes.items():
        _check_axis(axis, values)
    if (runs := prod(len(values) for values in grid.axes.values())) > MOST:
        raise UserError(f"A sweep has at most {MOST:,} runs, and this one would have {runs:,}; sweep fewer options or values.")
    return grid


def takes_lists(option: str, config: Config) -> bool:
    """Whether a value of this option can be a list, as its type says; options whose type nobody knows take none."""
    first, *rest = option.split(".")
    if first == "game" and rest:
        return _admits_lists(annotated(type(configured(config.game))).get(".".join(rest)))
    model, parts = (LearnerConfig, rest[1:]) if first == "learners" else (Config, [first, *rest])
    annotation: Any = None
    for part in parts:
        known = model.model_fields.get(part)
        annotation = known.annotation if known else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation  # type: ignore[assignment]
    return _admits_lists(annotation)


def _admits_lists(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated or origin in UNIONS:
        return any(_admits_lists(choice) for choice in get_args(annotation))
    return annotation in LISTS or origin in LISTS


def _is_swept(option: str, value: Any, config: Config) -> bool:
    if not isinstance(value, list):
        return False
    return not takes_lists(option, config) or any(isinstance(item, list) for item in value)


def _arm(name: str, options: Sequence[str]) -> dict[str, Any]:
    own = dotted(given(options))
    if not own:
        raise UserError(f"The arm {name} sets no option, e.g. --arm 'plain: algorithm=reinforce'.")
    return own


def _check_axis(axis: str, values: Sequence[Any]) -> None:
    """UserError unless the values are several different ones, or one."""
    if not values:
        raise UserError(f"The sweep names no {axis}." if axis == SEED else f"The option {axis} has no value to sweep over.")
    names = [label(axis, value) for value in values]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"The sweep names {name} twice.")
    if axis == SEED and not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise UserError(f"The seeds of a sweep are whole numbers, not {', '.join(map(str, values))}.")
