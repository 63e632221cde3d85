"""The hub itself, through huggingface_hub: what is asked of it, and its faults as sentences."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detente.errors import UserError, counted
from detente.files import LARGEST, reason

# What is fetched: a PEFT folder with its card and pictures, and a base model beside it; never code, never pickles.
EXPECTED = re.compile(r"(base/)?[A-Za-z0-9_-][A-Za-z0-9._-]*\.(json|safetensors|md|png|jinja|txt)")
MOST_FILES = 200


def check_name(repository: str) -> None:
    """UserError for a name that no repository has."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
        if repository.count("/") != 1:
            raise HFValidationError
    except HFValidationError:
        raise UserError(
            f"'{repository}' is no name of a repository; one is USER/NAME, of letters, digits, '-', '_' and '.', "
            "such as ada/ipd-reciprocator."
        ) from None


def check_ready(repository: str) -> None:
    """UserError for a wrong name, and where there is no token; the hub is not asked."""
    from huggingface_hub import get_token

    check_name(repository)
    if get_token() is None:
        raise UserError("There is no token of the hub; log in with 'hf auth login', or set HF_TOKEN to a token that may write.")


def upload(folder: Path, repository: str, *, private: bool, update: bool) -> str:
    """Make the repository, or with ``update`` use one that exists, and commit all files at once; the address of the commit.

    The hub's own validation of the card comes first, so that a card it does not take leaves nothing behind.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, ModelCard

    api = HfApi()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    with sentences(repository):
        ModelCard((folder / "README.md").read_text(encoding="utf-8")).validate()
        made = api.create_repo(repository, private=private or None, exist_ok=update)
        commit = api.create_commit(made.repo_id, additions, commit_message="Add an agent trained with detente")
    return str(commit.commit_url)


def download(repository: str, revision: str | None, folder: Path) -> str:
    """Fetch the files that are expected of an adapter at one commit, which is returned."""
    from huggingface_hub import HfApi, hf_hub_download

    with sentences(repository, revision):
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or () if EXPECTED.fullmatch(file.rfilename)}
        _check_files(repository, sizes)
        for name in sizes:
            hf_hub_download(repository, name, revision=info.sha, local_dir=folder)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # huggingface_hub's notes about the download
    return str(info.sha)


def _check_files(repository: str, sizes: dict[str, int]) -> None:
    """UserError unless these are the files of an adapter, which others can read in bounded time."""
    for needed in ("adapter_config.json", "adapter_model.safetensors"):
        if needed not in sizes:
            raise UserError(f"The repository {repository} holds no adapter that can be used: it has no {needed}.")
    if len(sizes) > MOST_FILES:
        raise UserError(f"The repository {repository} has {counted(len(sizes), 'file')}, and an adapter at most {MOST_FILES}.")
    for name, size in sizes.items():
        if size > LARGEST and not name.endswith(".safetensors"):
            raise UserError(f"The file {name} of {repository} has {size:,} bytes; such a file has at most {LARGEST:,}.")


@contextmanager
def sentences(repository: str, revision: str | None = None) -> Iterator[None]:
    """Turn whatever the library raises for an answer of the hub, or for none, into one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of many libraries: the hub's, the client's, the system's
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(_sentence(error, repository, revision)) from error


def _sentence(error: Exception, repository: str, revision: str | None) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled, RevisionNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        return "The hub is not asked while HF_HUB_OFFLINE is set; unset it."
    if isinstance(error, RevisionNotFoundError):
        return f"The repository {repository} has no revision '{revision}'; name a branch, a tag or a commit of it."
    if status == 409:
        return f"The repository {repository} exists already; give --update to add a commit to it, or choose another name."
    if status == 404:
        return f"There is no repository {repository} on the hub, or it is private and your token may not read it."
    if status == 401:
        return (
            f"The hub does not let you at {repository}: there is none of that name, it is private, or your token is not valid; "
            "'hf auth login' sets one."
        )
    if status == 403:
        return f"Your token may not write to {repository}; use one that may, or a name of your own."
    if status is not None:
        said = getattr(error, "server_message", None) or reason(error)
        return f"The hub refused {repository} with status {status}: {reason(ValueError(said))}."
    if isinstance(error, ValueError):
        return f"The hub does not take this: {reason(error)}."
    return f"The hub cannot be reached at {constants.ENDPOINT}: {reason(error)}."
