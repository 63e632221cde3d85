"""What a person looks at: the HTML report of runs, transcripts and the table that contrasts runs. Must not import torch."""

from detente.reports.page import report
from detente.reports.transcript import render_text
from detente.reports.verdict import contrast_table

__all__ = ["contrast_table", "render_text", "report"]
