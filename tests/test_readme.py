"""What the README and the docs say is true: code runs, commands parse, and every source file has its line."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from detente import cli
from detente.cli.commands import app
from detente.export.columns import SHARED, TABLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
DATA = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
AXELROD = (ROOT / "docs" / "axelrod.md").read_text(encoding="utf-8")
EXPERIMENTS = ROOT / "experiments" / "README.md"
PAGES = [*sorted(ROOT.glob("[A-Z]*.md")), *sorted((ROOT / "docs").glob("*.md")), EXPERIMENTS, ROOT / "Makefile"]


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of every detente command in a page's shell blocks, or in the Makefile's recipes."""
    text = page.read_text(encoding="utf-8")
    shell = re.sub(r"\$\(BIN\)/", "", text) if page.name == "Makefile" else "\n".join(blocks(text, "(?:sh|bash|console)"))
    lines = (line.strip().removeprefix("$ ").removeprefix(".venv/bin/") for line in shell.replace("\\\n", " ").splitlines())
    lines = (line.lstrip("@").split(" >")[0] for line in lines)
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("detente ")]


def parse(words: list[str]) -> None:
    """Raise what the command line would raise, and run nothing."""
    group = typer.main.get_command(app)
    with group.make_context("detente", list(words)) as context:
        name, command, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("code", blocks(README, "python") + blocks(CONCEPTS, "python") + blocks(AXELROD, "python"))
def test_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "a code block", "exec"), {})


def test_the_blocks_about_data_run(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(small_run, tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile("".join(blocks(DATA, "python")), "docs/data.md", "exec"), found)
    lines = map(json.loads, (small_run / "metrics.jsonl").read_text().splitlines())
    assert found["wide"].to_pylist() == [{name: line[name] for name in ("iteration", *found["names"])} for line in lines]


def test_an_adapter_of_pocket_loads_in_plain_peft_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import get_peft_model, get_peft_model_state_dict

    from detente import adapters, models
    from detente.options import LoraOptions

    base = models.load("pocket", device="cpu")
    model = get_peft_model(base.model, adapters.lora_config(LoraOptions()))
    folder = tmp_path / "runs" / "mine" / "adapters" / "main" / "000002"
    adapters.save(folder, get_peft_model_state_dict(model), model.peft_config["default"], base)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    (code,) = blocks((ROOT / "docs" / "models.md").read_text(encoding="utf-8"), "python")
    exec(compile(code, "docs/models.md", "exec"), found)
    loaded = get_peft_model_state_dict(found["model"])
    assert all(loaded[key].equal(value) for key, value in get_peft_model_state_dict(model).items())


def test_the_page_about_data_lists_every_column() -> None:
    sections = dict(section.split("\n", 1) for section in DATA.split("\n## ")[1:])
    tables = {"In turns and episodes": SHARED, **{f"{name}.parquet": columns for name, columns in TABLES.items()}}
    for title, columns in tables.items():
        listed = re.findall(r"^\| `(\S+)` \| `(\S+)` \| (.+) \|$", sections[title], flags=re.MULTILINE)
        own = columns if columns is SHARED else [column for column in columns if column not in SHARED]
        assert listed == [(column.name, column.type, column.meaning) for column in own]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page: Path) -> None:
    for words in commands(page):
        parse(words)


def test_a_misspelt_command_would_be_found() -> None:
    with pytest.raises(typer.TyperException):
        parse(["train", "ipd", "--dryrun"])


RUN_THESE = [words for page in ("README.md", "AGENTS.md", "Makefile") for words in commands(ROOT / page)]


@pytest.mark.parametrize("words", [words for words in RUN_THESE if words[0] == "train"])
def test_train_commands_resolve(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if words[1].startswith("runs/"):
        pytest.skip("goes on with a run that the reader has")
    assert cli.main([*words, "--dry-run"]) == 0, capsys.readouterr().err


STAND_IN = """#!/bin/sh
# for detente: a training ends when the other one has begun too, reinforce with STATUS
echo "$@" >> commands
case "$3" in
  algorithm=reinforce) status=STATUS; other=algorithm=advantage_alignment ;;
  algorithm=advantage_alignment) status=0; other=algorithm=reinforce ;;
  *) exit 0 ;;
esac
echo a line
touch "$3"
for i in $(seq 200); do [ -e "$other" ] && exit $status; sleep 0.05; done
exit 9
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(("target", "status"), [("quickstart", 0), ("llm", 0), ("llm", 3)])
def test_make_trains_both_at_the_same_time_and_reports_when_neither_failed(target: str, status: int, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    detente = tmp_path / ".venv" / "bin" / "detente"
    detente.parent.mkdir(parents=True)
    detente.write_text(STAND_IN.replace("STATUS", str(status)))
    detente.chmod(0o755)
    for name in ("bin/pip", "installed"):
        (tmp_path / ".venv" / name).touch()
    done = subprocess.run(["make", target], cwd=tmp_path, capture_output=True, text=True, timeout=180)
    commands = [line.split()[0] for line in (tmp_path / "commands").read_text().splitlines()]
    assert (done.returncode == 0, commands) == (status == 0, ["train", "train"] + ["report"] * (status == 0)), done.stderr
    assert done.stdout.count("a line") == 2  # of each


@pytest.mark.parametrize("module", ["records", "games/base", "games/family", "players/base", "engines/base", "learning/watchers"])
def test_the_glossary_has_what_others_build_on(module: str) -> None:
    """The class names of the modules that say what a record, a game, a family, a player, an engine and a watcher are."""
    cells = re.findall(r"^\| ([^|]+) \|", CONCEPTS, flags=re.MULTILINE)
    glossary = {word for cell in cells for word in re.findall(r"[a-z]+", cell.lower())}
    code = (ROOT / "src" / "detente" / f"{module}.py").read_text(encoding="utf-8")
    classes = re.findall(r"^class ([A-Z]\w+)", code, flags=re.MULTILINE)
    assert classes
    missing = [
        name for name in classes if not {word.lower().removesuffix("s") for word in re.findall("[A-Z][a-z]+", name)} & glossary
    ]
    assert missing == []


def test_every_source_file_has_its_line() -> None:
    package = ROOT / "src" / "detente"
    files = {str(path.relative_to(package)) for path in package.rglob("*.py") if path.stat().st_size}
    named = re.findall(r"^- `(\S+\.py)`: \S", ARCHITECTURE.partition("## Every file")[2], flags=re.MULTILINE)
    assert sorted(named) == sorted(files)


def test_every_program_of_the_experiments_is_named() -> None:
    named = re.findall(r"\b\w+\.py\b", EXPERIMENTS.read_text(encoding="utf-8"))
    assert {path.name for path in EXPERIMENTS.parent.glob("*.py")} == {*named}


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []
