"""Adapters to and from the hub of Hugging Face, with a card that is made from the record.

    RUN@V ── source ──> adapter, base, record ── folder, card ──> README.md, pictures, PEFT folder (base/) ── push ──> the hub
    the hub ── pull ──> PEFT folder, checked: an agent by its path

What comes from there is a stranger's: nothing in it is executed, and only files with names that are expected are fetched.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from detente.errors import UserError


def push(
    agent: str,
    repository: str,
    *,
    private: bool = False,
    update: bool = False,
    base: str = "",
    licence: str = "",
) -> str:
    """Publish a version of a trained agent in a repository of the hub, USER/NAME; returns the address of the commit.

    ``agent`` is named as for ``play``: a run (its newest version), ``runs/x@40``, ``runs/x/adapters/rival@40`` or an adapter
    folder. ``update`` adds a commit to a repository that exists. ``base`` is the id on the hub of a base model that was named by
    its folder; ``licence`` an identifier of the hub such as "mit", needed unless the base model is one of the package's own.
    UserError where the agent is none, where there is no token, and for everything that the hub refuses.
    """
    from detente.hub import service

    service.check_ready(repository)
    with tempfile.TemporaryDirectory(prefix="detente-") as scratch:
        folder = Path(scratch) / "adapter"
        prepare(agent, repository, folder, base=base, licence=licence)
        return service.upload(folder, repository, private=private, update=update)


def prepare(agent: str, repository: str, out: str | Path, *, base: str = "", licence: str = "") -> Path:
    """Write the folder that ``push`` publishes, whole or not at all; returns it. UserError for one that is not empty."""
    from detente.hub import folder, service, source

    service.check_name(repository)
    out = Path(out)
    check_empty(out)
    chosen = source.of(agent, base=base, licence=licence)
    with whole(out) as partial:
        folder.write(partial, chosen, repository)
    return out


def pull(repository: str, out: str | Path, *, revision: str | None = None) -> tuple[Path, str]:
    """Fetch an adapter from the hub into a folder; returns the folder and the commit.

    The folder is an agent wherever one is named. UserError where there is no such repository or revision, where it holds no LoRA
    adapter that can be used, and for a folder that is not empty.
    """
    from detente.adapters import files as adapter_files
    from detente.hub import service

    service.check_name(repository)
    out = Path(out)
    check_empty(out)
    with whole(out) as partial:
        commit = service.download(repository, revision, partial)
        adapter_files.read(partial)  # UserError for what cannot be used
    return out, commit


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name ``out`` in the end; after an error nothing is left, of folders around it neither."""
    missing = [folder for folder in out.parents if not folder.exists()]
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.is_dir():
            out.rmdir()  # it is empty
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def check_empty(out: Path) -> None:
    """UserError unless the folder can be made or is empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} holds something already; give --out another folder.")
