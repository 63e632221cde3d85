"""Trainings in processes of their own, several at the same time.

    Training(run, config) ... ── train_apart ──> RUN/, and RUN.log with what its process said

Whatever ends this process, even SIGKILL, ends those that it started; each saves its iteration first. Must not import torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detente.config import Config, to_yaml
from detente.files import in_use, replace_text
from detente.learning.run_folder import RunFolder, finished

CHILD = "import sys, detente.signals; detente.signals.end_with_input(); from detente.cli import main; sys.exit(main(sys.argv[1:]))"
MAIN = [sys.executable, "-c", CHILD]
POLL_S = 0.1


@dataclass(frozen=True)
class Training:
    """A run folder, and the options that it is trained with."""

    run: Path
    config: Config

    @property
    def finished(self) -> bool:
        """Whether it has come to its end."""
        return finished(self.run, self.config)

    @property
    def log(self) -> Path:
        """What its process said."""
        return self.run.with_name(self.run.name + ".log")


Ended = Callable[[Training, str | None], None]
Look = Callable[[Sequence[Training]], None]


def train_apart(
    work: Sequence[Training],
    jobs: int,
    ended: Ended,
    look: Look = lambda running: None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Train each in a process with a share of the cores, ``jobs`` of them at the same time; a run that another process trains is
    waited for.

    ``ended`` is told of each that ended, with the reason if it failed; ``look`` now and then which ones are running. Ctrl-C,
    SIGTERM and what these two raise stop all of them after their iteration is saved, of which ``stopping`` hears first; Ctrl-C
    again stops them at once.
    """
    waiting, running = deque(work), list[_Process]()
    try:
        while waiting or running:
            for _ in range(len(waiting)):
                if len(running) == jobs:
                    break
                training = waiting.popleft()
                if in_use(training.run):
                    waiting.append(training)
                elif training.finished:
                    ended(training, None)
                else:
                    running.append(_Process.begin(training, jobs))
            look([process.training for process in running])
            time.sleep(POLL_S)
            for process in [process for process in running if process.handle.poll() is not None]:
                running.remove(process)
                ended(process.training, process.fault)
    except BaseException:
        if running:
            stopping()
        _stop([process.handle for process in running])
        raise


@dataclass(frozen=True)
class _Process:
    """The process of a training, whose words begin at byte ``said`` of the log."""

    training: Training
    handle: subprocess.Popen[bytes]
    said: int

    @classmethod
    def begin(cls, training: Training, jobs: int) -> _Process:
        training.run.mkdir(parents=True, exist_ok=True)
        replace_text(RunFolder(training.run).options, to_yaml(training.config))
        with training.log.open("ab") as log:
            said = log.tell()
            handle = subprocess.Popen(
                [*MAIN, "train", str(training.run), "--trust", "--no-report"],
                stdin=subprocess.PIPE,  # it ends with this process
                stdout=log,
                stderr=log,
                env={"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs)), **os.environ},
                start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
            )
            return cls(training, handle, said)

    @property
    def fault(self) -> str | None:
        """Why it failed, in its own last words where it had any."""
        status = self.handle.wait()
        if status == 0:
            return None
        said = self.training.log.read_bytes()[self.said :].decode("utf-8", errors="replace").strip()
        if status < 0:
            return f"its process was ended by {signal.Signals(-status).name}"
        return said.rpartition("\n")[2] or f"exit status {status}"


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, and wait until they have saved; asked again at the next Ctrl-C, they save nothing."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        _stop(processes)
        raise
