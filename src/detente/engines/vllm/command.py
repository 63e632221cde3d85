"""The command that starts a vLLM server as a run needs it, with every flag. Standard library only.

model, GPUs, adapters, rank ── command ──> environment variables and words ── shown ──> what a person can paste
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM takes for --max-lora-rank
CPU_HEADS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)  # numbers of a head that vLLM's attention on a CPU takes
GUIDANCE = '{"backend":"guidance"}'
ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # GiB; threads as the system puts them


@dataclass(frozen=True)
class Serving:
    """``source`` is the folder or hub id of the base model, ``name`` what runs call it; ``gpus`` is 0 on a CPU. ``adapters`` can be
    mixed, of ``rank`` at most;  ``context`` is the longest chat in tokens (None: the
    model's own), ``memory`` the share of a GPU's memory that is taken (None: vLLM's own)."""

    source: str
    name: str
    host: str
    port: int
    gpus: int
    dtype: str
    adapters: int
    rank: int
    context: int | None
    offline: bool
    memory: float | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the server needs."""
        offline = {"HF_HUB_OFFLINE": "1"} if self.offline else {}
        return {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"} | offline | ({} if self.gpus else ON_CPU)

    @property
    def flags(self) -> list[tuple[str, ...]]:
        """Each flag with its value; there is one slot more than adapters, for vLLM on CPUs gives the base model the last one."""
        slots = self.adapters + 1
        return [
            ("--served-model-name", self.name),
            ("--host", self.host),
            ("--port", str(self.port)),
            ("--dtype", self.dtype),
            *([("--max-model-len", str(self.context))] if self.context else []),
            ("--tensor-parallel-size", str(self.gpus)) if self.gpus else ("--enforce-eager",),
            *([("--gpu-memory-utilization", f"{self.memory:g}")] if self.memory else []),
            ("--enable-lora",),
            ("--max-lora-rank", str(next(rank for rank in RANKS if rank >= self.rank))),
            ("--max-loras", str(slots)),
            ("--max-cpu-loras", str(2 * slots)),
            ("--logprobs-mode", "processed_logprobs"),
            ("--max-logprobs", "20"),
            ("--structured-outputs-config", GUIDANCE),
            ("--generation-config", "vllm"),
            ("--seed", "0"),
        ]

    def words(self, program: str) -> list[str]:
        """The command without the variables."""
        return [program, "serve", self.source, *(word for flag in self.flags for word in flag)]

    def shown(self, program: str) -> str:
        """The whole command for a shell, a flag to a line."""
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environment.items())
        lines = [variables, shlex.join([program, "serve", self.source]), *map(shlex.join, self.flags)]
        return " \\\n    ".join(lines)
