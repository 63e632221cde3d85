"""The options of how a parameter of the game varies while a run trains. Must not import torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from detente.options import COUNT, Options

FORMS = ("stages", "choices", "range")
EXAMPLE = "vary.rounds.stages=[5,10,20]"
STAGE = 100  # iterations, where nothing else is said

Number = Annotated[float, Field(strict=True)]


class Variation(Options):
    """How one parameter of the game varies over a training, by exactly one of ``stages``, ``choices`` and ``range``."""

    stages: tuple[Any, ...] | None = Field(None, description="its values one after the other; the last one stays")
    every: int | None = Field(None, ge=1, le=COUNT, description=f"stages: iterations of each but the last (unset: {STAGE})")
    choices: tuple[Any, ...] | None = Field(None, description="values of which each group draws one, all equally likely")
    range: tuple[Number, Number] | None = Field(None, description="two numbers between which each group draws one, uniformly")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, dict | Variation):
            raise ValueError(f"one of {', '.join(FORMS)} says how it varies, e.g. {EXAMPLE}, not {value!r}")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Variation:
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of {', '.join(FORMS)} says how it varies, e.g. {EXAMPLE}, not {' and '.join(given) or 'none'}"
            )
        if self.stages == () or self.choices == ():
            raise ValueError(f"{given[0]} needs at least one value")
        if self.every is not None and self.stages is None:
            raise ValueError(f"every says how long stages last, and there are {given[0]} in their place; leave it out")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range is a smaller number and a larger one, not {list(self.range)}")
        return self

    @property
    def lasts(self) -> int:
        """Iterations of a stage."""
        return STAGE if self.every is None else self.every
