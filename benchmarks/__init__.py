"""Speed and memory, as ratios: ours against the common way, written here, both in one process and interleaved.

    python -m benchmarks [SUBJECT] ──> a table, and JSON ── python -m benchmarks table ──> docs/performance.md

docs/performance.md says what is measured, against what, and how to read it.
"""
