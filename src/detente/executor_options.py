"""The options of where a training plays and learns: in this process, or on a Ray cluster. Must not import torch."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from detente.options import Options


class ExecutorOptions(Options):
    """Where the episodes of a training are played, and its gradients computed. May be changed on an existing run;
    ``executor=ray`` is short for ``executor.kind=ray``."""

    kind: Literal["local", "ray"] = Field("local", description="local: this process; ray: workers on a Ray cluster")
    address: str | None = Field(
        None, description="ray: the cluster as host:port, or auto for that of this machine (unset: one is started in this process)"
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="ray: workers that play, each with its engines (unset: as many as there is room for; 0: this process plays)",
    )
    cpus: int = Field(1, ge=1, le=1024, description="ray: processor cores of a worker")
    gpus: float = Field(0, ge=0, le=16, description="ray: GPUs of a worker, also a part of one")
    learners: int = Field(0, ge=0, le=1024, description="ray: workers that compute the gradients of updates (0: this process does)")
    learner_cpus: int = Field(1, ge=1, le=1024, description="ray: processor cores of a worker that computes gradients")
    learner_gpus: float | None = Field(
        None, ge=0, le=16, description="ray: GPUs of a worker that computes gradients (unset: one, where the cluster has any)"
    )
    timeout: float = Field(600, gt=0, le=86_400, description="ray: seconds that a worker is waited for while there is none")

    @field_validator("address")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address not in (None, "auto") and not re.fullmatch(r"[^\s/:]+:\d{1,5}", address):
            raise ValueError(f"{address!r} is no address of a cluster; those look like head:6379, or auto")
        return address

    @model_validator(mode="after")
    def _busy(self) -> ExecutorOptions:
        if self.kind == "ray" and self.workers == 0 and not self.learners:
            raise ValueError("ray has nothing to do with workers=0 and learners=0; give it some of either, or use executor=local")
        return self
