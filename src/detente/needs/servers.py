"""The vLLM servers of a run, one after another: what each is. Nothing is loaded, and none of them is asked for an answer.

engine.urls ── GET /v1/models, /version, /metrics ──> a Check each
"""

from __future__ import annotations

from detente.engine_options import EngineOptions
from detente.errors import ServiceError, counted
from detente.hosts import opening
from detente.needs.check import Check


def servers_seen(options: EngineOptions) -> tuple[Check, ...]:
    """What every server says of itself, or why it cannot be asked."""
    checks = []
    for server in opening().servers_of(options):
        try:
            base = opening().base_of(server)
        except ServiceError as fault:
            checks.append(Check(f"server {server.url}", False, str(fault)))
            continue
        slots = server.slots()
        said = [
            f"vLLM {server.version() or 'of a version that it does not say'}",
            f"'{base.name}'",
            f"chats of up to {counted(base.longest, 'token')}" if base.longest else "",
            f"{counted(slots, 'adapter')} at once" if slots else "",
        ]
        checks.append(Check(f"server {server.url}", True, ", ".join(filter(None, said))))
    return tuple(checks)
