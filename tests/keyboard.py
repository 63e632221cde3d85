"""A command on a terminal of its own, and hands that type."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path


class Terminal:
    """``detente`` with these words, standing in a folder; ``said`` is all that it wrote, as bytes."""

    def __init__(self, *words: str, folder: Path) -> None:
        self.said = b""
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
            os.execv(sys.executable, [sys.executable, "-m", "detente.cli", *words])

    def read(self) -> bool:
        """Take what it has written; whether there may be more."""
        if select.select([self.screen], [], [], 0.05)[0]:
            try:
                new = os.read(self.screen, 1 << 16)
            except OSError:  # the terminal's other end is closed
                return False
            self.said += new
            return bool(new)
        return True

    def wait_for(self, text: bytes, times: int = 1, seconds: float = 180) -> None:
        """Until it has said this so often."""
        end = time.monotonic() + seconds
        while self.said.count(text) < times:
            assert time.monotonic() < end, f"{text!r} never came: {self.said!r}"
            assert self.read(), f"it ended without {text!r}: {self.said!r}"

    def type(self, keys: str) -> None:
        """As a person does, who needs a moment to see what is asked."""
        time.sleep(0.2)
        os.write(self.screen, keys.encode())

    def status(self, seconds: float = 180) -> int:
        """Its exit status, once it has ended."""
        end = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < end, f"it goes on: {self.said!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
