"""What a release says of itself agrees: one version everywhere, one set of pins, and the same make targets on every host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z_-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
HOSTS = (".github/workflows/ci.yml", ".gitlab-ci.yml")


def pins(file: str) -> dict[str, str]:
    """The versions that a file of requirements names, by the name of the package as PyPI compares it."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in lines}


def strings(value: Any) -> list[str]:
    """Every text in a document."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    return [text for inner in value for text in strings(inner)] if isinstance(value, list) else [str(value)]


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    version, _, date = headings[0].partition(", ")
    assert version == citation["version"] == PROJECT["version"]
    assert date == str(citation["date-released"])
    assert [heading.partition(",")[0] for heading in headings] == sorted(
        (heading.partition(",")[0] for heading in headings), key=lambda text: [int(part) for part in text.split(".")], reverse=True
    )
    assert not [path for path in (ROOT / "src").rglob("*.py") if "__version__" in path.read_text(encoding="utf-8")]


def test_the_citation_has_the_fields_of_its_format() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "title", "message", "authors", "version", "date-released"} <= citation.keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(citation["date-released"]))
    assert citation["license"] == PROJECT["license"]
    assert all({"type", "title", "authors"} <= reference.keys() for reference in citation["references"])


def test_the_lock_has_the_pins_and_hashes_of_everything_and_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked, pinned = pins("requirements.lock"), pins("constraints.txt")
    assert "://" not in text
    assert {name: version for name, version in locked.items() if pinned.get(name, version) != version} == {}
    needed = {re.sub(r"[-_.]+", "-", re.split(r"[><=\[ ;]", need)[0]).lower() for need in PROJECT["dependencies"]}
    assert needed <= locked.keys()
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("file", HOSTS)
def test_every_host_calls_the_targets_that_must_pass(file: str) -> None:
    steps = strings(yaml.safe_load((ROOT / file).read_text(encoding="utf-8")))
    called = {match[1] for step in steps if (match := re.fullmatch(r"make ([a-z-]+)", step))}
    must = set(re.findall(r"^make ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert must <= called <= TARGETS
    assert {"3.11", "3.12", "3.13", "3.14"} <= set(steps)
