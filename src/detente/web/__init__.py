"""The local pages over a folder of runs: ``detente serve``. Must not import torch before a person plays against a model.

RUNS/ ──> overview ──> run, live ──> transcripts ──> one episode
                  └──> arena ── a cell ──┘   ^
          play ── matches ── RUNS/played/ ────┘
"""

from detente.web.app import build

__all__ = ["build"]
