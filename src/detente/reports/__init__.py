"""What a person looks at: the HTML report of runs, transcripts and the table that contrasts runs. Must not import torch.

Names are imported when they are first used: a transcript needs no templates.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detente.reports.contrast import contrast_table as contrast_table
    from detente.reports.page import report as report
    from detente.reports.transcript import render_text as render_text

_HOMES = {"contrast_table": "contrast", "render_text": "transcript", "report": "page"}
__all__ = ["contrast_table", "render_text", "report"]


def __getattr__(name: str) -> Any:
    """The public name, imported from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module 'detente.reports' has no attribute '{name}'")
    return getattr(importlib.import_module(f"detente.reports.{_HOMES[name]}"), name)
