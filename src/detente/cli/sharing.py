"""``push`` and ``pull``: trained agents to the hub of Hugging Face, and from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detente.cli.terminal import console, doing, say
from detente.errors import UserError
from detente.files import folder_name

Repository = Annotated[str, typer.Argument(metavar="REPO", help="A repository of the hub, USER/NAME.")]


def push(
    agent: Annotated[
        str, typer.Argument(metavar="RUN[@V]", help="A run, a version of it, one of its learners, or an adapter folder.")
    ],
    repository: Repository,
    private: Annotated[bool, typer.Option("--private", help="Make the repository visible to you alone.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Add a commit to a repository that exists.")] = False,
    base: Annotated[
        str, typer.Option(help="The id on the hub of a base model that was named by its folder.", show_default=False)
    ] = "",
    licence: Annotated[
        str,
        typer.Option("--license", help="Of the adapter, e.g. apache-2.0.", show_default="that of the package's own base models"),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder with its card, and send nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --dry-run: the folder to write.", show_default="runs/push/USER-NAME")
    ] = None,
) -> None:
    """Publish a trained agent on the hub of Hugging Face, with a card that is made from the record of its run."""
    screen = console()
    if out is not None and not dry_run:
        raise UserError("--out is the folder that --dry-run writes; add --dry-run, or leave --out away.")
    with doing(screen, f"Publishing {agent} as {repository}"):
        from detente import hub

        if not dry_run:
            where = hub.push(agent, repository, private=private, update=update, base=base, licence=licence)
        else:
            where = str(hub.prepare(agent, repository, out or _default("push", repository), base=base, licence=licence))
    say(screen, f"Wrote {where}, and sent nothing" if dry_run else f"Published {agent}: {where}")


def pull(
    repository: Repository,
    out: Annotated[Path | None, typer.Option(help="The folder to write.", show_default="runs/hub/USER-NAME")] = None,
    revision: Annotated[str | None, typer.Option(help="A branch, a tag or a commit.", show_default="the newest")] = None,
) -> None:
    """Fetch a trained agent from the hub of Hugging Face; it then plays wherever an agent is named."""
    screen = console()
    with doing(screen, f"Fetching {repository}"):
        from detente import hub

        folder, commit = hub.pull(repository, out or _default("hub", repository), revision=revision)
    say(screen, f"Wrote {folder}, as of commit {commit}; e.g. detente play PRESET --seats {folder},random")


def _default(what: str, repository: str) -> Path:
    """runs/push/USER-NAME, runs/hub/USER-NAME."""
    return Path("runs", what, folder_name(*repository.split("/")))
