"""Which detente is at work: its version and, where it runs from a git checkout, the commit. Standard library only."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path


def provenance() -> dict[str, str]:
    """{"version": "0.2.0", "commit": "1c5a0e2f9d3b"}, as summary.json records it; without a checkout there is no commit."""
    known = {"version": metadata.version("detente"), "commit": commit()}
    return {key: value for key, value in known.items() if value}


@cache
def commit() -> str:
    """The commit of detente's source that is at work, ending in ``-dirty`` where files differ from it; empty without a checkout."""
    here = Path(__file__).parent
    describe = ("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    try:
        for words in (("ls-files", "--error-unmatch", "__init__.py"), describe):
            done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
