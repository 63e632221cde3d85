"""Which detente is at work: the commit of a checkout, and none elsewhere."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from detente import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the one of the package."""
    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    return subprocess.run(["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout(package: Path) -> None:
    git(package, "init", "-q")
    assert provenance.commit.__wrapped__() == ""  # the package is no part of the checkout that it lies in
    git(package, "add", ".")
    git(package, "commit", "-q", "-m", "Begin")
    git(package, "tag", "v1")
    commit = git(package, "rev-parse", "--short=12", "HEAD")
    assert provenance.commit.__wrapped__() == commit
    (package / "__init__.py").write_text("# changed\n")
    assert provenance.commit.__wrapped__() == f"{commit}-dirty"


def test_without_a_checkout_the_version_is_all_there_is(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "commit", provenance.commit.__wrapped__)
    assert provenance.provenance() == {"version": metadata.version("detente")}
