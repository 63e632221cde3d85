"""What was looked at, and what was seen. Standard library only.

a server, a machine, a chat template ── looked at ──> Check
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Something that was looked at, and what was seen; ``passed`` None: it could not be looked at."""

    what: str
    passed: bool | None
    seen: str
