"""Adapters as folders that servers read: a new folder and a new name for each version, so that no cache of before is used.

weights ── publish ──> FOLDER/detente-XXXX/NAME@VERSION-DIGEST/ ──> the name under which servers have it
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from detente.errors import UserError
from detente.records import PolicyRef

Write = Callable[[Path, Mapping[str, Any], Any], None]  # a PEFT folder of weights and configuration


class Published:
    """The adapters in a new folder inside ``parent`` (None: where temporary files lie), from the first one to ``close``.

    No two engines share a folder or a name, so a server that outlives a run, or serves several, cannot take one for another.
    """

    def __init__(self, parent: str | None, write: Write) -> None:
        self._parent, self._write = parent, write
        self.folders: dict[PolicyRef, Path] = {}

    @cached_property
    def _folder(self) -> Path:
        try:
            if self._parent is not None:
                Path(self._parent).mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="detente-", dir=self._parent)).resolve()
            folder.chmod(0o755)  # a server may run as another user
        except OSError as error:
            raise UserError(f"engine.folder={self._parent} cannot be written: {error.strerror or error}.") from error
        return folder

    def add(self, policy: PolicyRef, weights: Mapping[str, Any], config: Any) -> Path:
        """Write an adapter; its folder's name is the one to serve it under."""
        written = self._folder / "new"
        self._write(written, weights, config)
        identity = sha256(str(self._folder).encode())
        for file in sorted(written.iterdir()):
            identity.update(file.read_bytes())
        name = f"{Path(policy.name).name or 'adapter'}@{policy.version}-{identity.hexdigest()[:16]}"
        self.folders[policy] = written.rename(self._folder / name)
        return self.folders[policy]

    def remove(self, policy: PolicyRef) -> Path:
        """Remove an adapter; returns the folder that it had."""
        folder = self.folders.pop(policy)
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def close(self) -> None:
        """Remove what is left."""
        self.folders.clear()
        if "_folder" in self.__dict__:
            shutil.rmtree(self._folder, ignore_errors=True)
