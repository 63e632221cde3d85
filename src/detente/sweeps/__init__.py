"""Sweeps: one preset trained with every combination of some options, arms and seeds.

options, arms, seeds ── grid ──> combinations ── runs ──> a run folder each ── outcomes ──> outcomes.parquet ── table ──> sweep.json
"""
