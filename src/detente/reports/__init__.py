"""What a person looks at: the HTML report of runs, transcripts and the table that contrasts runs. Must not import torch."""

from detente.reports.contrast import contrast_table
from detente.reports.page import report
from detente.reports.transcript import render_text

__all__ = ["contrast_table", "render_text", "report"]
