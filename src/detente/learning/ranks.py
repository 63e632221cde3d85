"""The processes of a run: which of those that torchrun started this one is, and those that a run starts. Standard library only.

torchrun ... -m -- detente.cli train ipd   ──>   rank 0: the run   rank 1: a helper (parallel.py)
detente train ipd processes=2              ──>   rank 0: the run ── Child.begin ──> rank 1
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO

CHILD = """
import sys, detente.signals; detente.signals.end_with_input()
from detente.learning.parallel import help_from; help_from(*map(int, sys.argv[1:]))
"""
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class Launch:
    """A process that torchrun started: its rank among ``size``, and among the ``local_size`` of this machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def launched() -> Launch | None:
    """What torchrun says in the environment; None where it did not start this process."""
    try:
        return Launch(*(int(os.environ[name]) for name in NAMES)) if "MASTER_ADDR" in os.environ else None
    except (KeyError, ValueError):
        return None


def helping() -> bool:
    """Whether this process only helps the first one, which is the run."""
    launch = launched()
    return launch is not None and launch.rank > 0


def share_of_cores(size: int) -> int:
    """The threads of each of so many processes on this machine."""
    return max(1, (os.cpu_count() or 1) // size)


@dataclass(frozen=True)
class Child:
    """A helper on this machine, and the file that it says its last words to."""

    rank: int
    handle: subprocess.Popen[bytes]
    said: IO[bytes]

    @classmethod
    def begin(cls, port: int, rank: int, size: int) -> Child:
        said = tempfile.TemporaryFile()  # noqa: SIM115 (``end`` closes it)
        handle = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(port), str(rank), str(size)],
            stdin=subprocess.PIPE,  # it ends with this process
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={"OMP_NUM_THREADS": str(share_of_cores(size)), **os.environ},
            start_new_session=True,  # Ctrl-C reaches this process alone
        )
        return cls(rank, handle, said)

    @property
    def fault(self) -> str | None:
        """How it ended, if it has; without its reason where it gave none."""
        status = self.handle.poll()
        if status is None:
            return None
        if status < 0:
            return f"The helper process {self.rank} was ended by {signal.Signals(-status).name}"
        self.said.seek(0)
        lines = self.said.read().decode("utf-8", errors="replace").strip().splitlines()
        return f"The helper process {self.rank} ended ({lines[-1] if lines else f'exit status {status}'})"

    def end(self) -> None:
        """End it, if it has not ended."""
        self.handle.kill()
        self.handle.wait()
        if self.handle.stdin:
            self.handle.stdin.close()
        self.said.close()
