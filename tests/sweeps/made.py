"""Outcomes of a sweep that never was: three values of beta, two forms and five seeds, of which one run failed."""

from __future__ import annotations

import itertools
from typing import Any

from detente.sweeps.outcomes import ABOUT, Outcomes

BETAS, FORMS, SEEDS = (0.25, 1, 4), ("causal", "returns"), range(5)


def outcomes(learner: str = "main") -> Outcomes:
    """Points are beta + seed / 10 under causal and half of that under returns."""
    axes = ("credit.beta", "credit.shaping", "seed")
    rows, runs = [], {}
    for values in itertools.product(BETAS, FORMS, SEEDS):
        beta, form, seed = values
        name = f"credit.beta={beta}-credit.shaping={form}-seed{seed}"
        runs[name] = dict(zip(axes, values, strict=True))
        row: dict[str, Any] = {"run": name, **runs[name], **dict.fromkeys(ABOUT)}
        if values == (4, "returns", 4):
            row |= {"status": "failed", "iterations": 3}
        else:
            points = (beta + seed / 10) * (1 if form == "causal" else 0.5)
            row |= {"learner": learner, "algorithm": "advantage_alignment", "model": "pocket", "status": "done", "iterations": 80}
            row |= {"seconds": 200.0, "verdict": "reciprocator" if points > 0.8 else "mutual defection"}
            row |= {"self_play/reward": points, "cooperate_given/CC": min(points, 1.0), "vs/always_defect/reward": 0.9}
        rows.append(row)
    sweep = {"preset": "ipd", "options": {"optimizer.lr": 3e-4}, "swept": [*axes], "arms": {}, "runs": runs}
    return Outcomes(sweep, rows)
