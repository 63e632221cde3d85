"""Where training stops because numbers are no longer finite, and what it says then.

    credit ── loss ── gradient ── one step ── weights, optimizer ── scores          a check after each of them

Nothing is written between these checks, so what a run has saved is healthy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detente.errors import UserError
from detente.files import dotted

# The options that scale the numbers, each with a usual value.
CREDIT = {"credit.reward_divisor": 1.0, "credit.beta": 1.0, "credit.beta_final": 1.0, "credit.first_round_bonus": 1.0}
LOSS = {"loss.kl": 0.1, "loss.entropy": 0.1, "loss.entropy_final": 0.1, "loss.critic": 1.0}
STEP = {"optimizer.lr": 1e-4, "optimizer.lr_final": 1e-4, "optimizer.critic_lr": 1e-4, "lora.alpha": 32}
SCALES = {"credit": CREDIT, "loss": CREDIT | LOSS | STEP, "gradient": CREDIT | LOSS | STEP, "weights": STEP, "scores": STEP}
NAMED = 3  # options in a sentence


class NotFiniteError(UserError):
    """A learner's numbers are NaN or infinite; the message is the first half of a sentence."""


def failure(what: str, learner: str, options: Mapping[str, Any]) -> NotFiniteError:
    """That ``what`` (a key of SCALES) is not finite; names those of the learner's options that are most unusual."""
    values = dotted(options)
    unusual = {key: abs(math.log10(abs(values[key]) / usual)) for key, usual in SCALES[what].items() if values.get(key)}
    named = sorted(unusual, key=lambda key: -unusual[key])[:NAMED]
    verb = "are" if what.endswith("s") and what != "loss" else "is"
    return NotFiniteError(
        f"the {what} of '{learner}' {verb} not finite (NaN or infinity), probably because of "
        f"{' or '.join(f'{key}={values[key]:g}' for key in named)}"
    )


def stopped(error: NotFiniteError, run: Path, iteration: int, saved: int) -> UserError:
    """The whole sentence: ``iteration`` counts from 1, ``saved`` is that of the newest checkpoint (0: there is none)."""
    healthy = f"is healthy up to iteration {saved}" if saved else "holds no iteration yet"
    return UserError(
        f"Training stopped in iteration {iteration}: {error}; the run {run} {healthy} but would stop here again, "
        "so change these options and give --run another folder."
    )
