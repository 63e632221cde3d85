"""Sweeps whose trainings are forks of a process that has torch loaded already, so that each takes a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

FORKED = """
import os, signal
from detente.learning import processes

usual = processes.subprocess.Popen

class Forked:
    def __init__(self, words, stdout, **others):
        self.status, self.pid = None, os.fork()
        if self.pid == 0:
            status = 1
            try:
                processes.subprocess.Popen = usual
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.dup2(stdout.fileno(), 1)
                os.dup2(stdout.fileno(), 2)
                os.closerange(3, 1024)  # the lock of the sweep among them, as of any other process
                from detente.cli import main
                status = main(words[len(processes.MAIN):])
            finally:
                os._exit(status)

    def poll(self, options=os.WNOHANG):
        if self.status is None:
            pid, status = os.waitpid(self.pid, options)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def wait(self):
        return self.poll(0)

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

processes.subprocess.Popen, processes.POLL_S = Forked, 0.01
"""
TINY = [
    *("iterations=1", "episodes=4", "group_size=4", "game.rounds=2", "evaluation.episodes=2", "evaluation.against=[tit_for_tat]"),
    *("lora.rank=2", "device=cpu"),
]


@pytest.fixture
def sweep(command: Callable[..., Any], tiny_model: str) -> Callable[..., Any]:
    """Starts ``detente sweep ipd`` with these words, and runs that take a moment."""
    return lambda *words: command("sweep", "ipd", *TINY, f"model={tiny_model}", *words, before=FORKED)
