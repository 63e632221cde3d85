"""The options of where episodes are played: in this process, or by workers on a Ray cluster. Must not import torch."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from detente.options import Options


class ExecutorOptions(Options):
    """Where the episodes of a training are played. May be changed on an existing run; ``executor=ray`` is short for
    ``executor.kind=ray``."""

    kind: Literal["local", "ray"] = Field("local", description="local: this process; ray: workers on a Ray cluster")
    address: str | None = Field(
        None, description="ray: the cluster as host:port, or auto for that of this machine (unset: one is started in this process)"
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="ray: workers, each with engines of its own (unset: as many as there is room for)",
    )
    cpus: int = Field(1, ge=1, le=1024, description="ray: processor cores of a worker")
    gpus: float = Field(0, ge=0, le=16, description="ray: GPUs of a worker, also a part of one")
    timeout: float = Field(600, gt=0, le=86_400, description="ray: seconds that a worker is waited for while there is none")

    @field_validator("address")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address not in (None, "auto") and not re.fullmatch(r"[^\s/:]+:\d{1,5}", address):
            raise ValueError(f"{address!r} is no address of a cluster; those look like head:6379, or auto")
        return address
