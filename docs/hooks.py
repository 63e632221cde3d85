"""What MkDocs asks while it builds the documentation site from files that a code host shows as well.

docs/README.md ──> the navigation: a section per heading, a page per item
../README.md and other files outside docs/ that a page links to ──> pages of the site, under repository/
notebooks/*.ipynb ──> pages: their text, code and printed output
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
CONTENTS = DOCS / "README.md"
LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")  # what a Markdown link leads to, without its anchor
ROW, CODE = re.compile(r"^\|.*$", flags=re.MULTILINE), re.compile(r"`[^`]*`")  # where Python-Markdown wants no escape
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def on_config(config: MkDocsConfig) -> None:
    """The navigation that docs/README.md lists: ``## Section`` and ``- [title](page): what it is``."""
    _, *sections = CONTENTS.read_text(encoding="utf-8").split("\n## ")
    config.nav = [
        {section.split("\n", 1)[0]: [{title: address((DOCS / target).resolve())} for title, target in entries(section)]}
        for section in sections
    ]


def entries(section: str) -> list[tuple[str, str]]:
    """Title and target of each item of a list."""
    return [
        (title.removesuffix(".md"), target) for title, target in re.findall(r"^- \[(.+?)\]\((.+?)\)", section, flags=re.MULTILINE)
    ]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are made: of notebooks, and of files outside docs/ that pages link to, directly or through each other."""
    for path in sorted(DOCS.glob("notebooks/*.ipynb")):
        files.append(File.generated(config, address(path), content=from_notebook(path)))
    waiting, seen = [CONTENTS, *DOCS.rglob("*.md")], set[Path]()
    while waiting:
        for path in outside(waiting.pop()):
            if path not in seen:
                seen.add(path)
                waiting += [path] if path.suffix == ".md" else []
                page = File.generated(config, address(path), content=as_page(path), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(page)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where files are on the site."""
    uri = page.file.src_uri
    markdown = LINK.sub(lambda link: relative(link[1], source(uri), uri), markdown)
    return ROW.sub(lambda row: CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), markdown)


def outside(page: Path) -> Iterator[Path]:
    """The files outside docs/ that a page links to."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        if path.exists() and DOCS not in path.parents:
            yield path


def address(path: Path) -> str:
    """Where a file of the repository is among the site's sources: README.md comes first, and beside it are the contents."""
    if path in (ROOT / "README.md", CONTENTS):
        return "index.md"
    if DOCS in path.parents:
        return path.relative_to(DOCS).with_suffix(".md" if path.suffix == ".ipynb" else path.suffix).as_posix()
    return f"repository/{path.relative_to(ROOT).as_posix()}" + ("" if path.suffix == ".md" else ".md")


def source(uri: str) -> Path:
    """The file of the repository that a page of the site is made from."""
    if uri == "index.md":
        return ROOT / "README.md"
    path = ROOT / uri.removeprefix("repository/") if uri.startswith("repository/") else DOCS / uri
    notebook = path.with_suffix(".ipynb")
    return notebook if notebook.exists() else path


def relative(target: str, made_from: Path, page: str) -> str:
    """A link of the file that a page is made from, as one of the site's ``page``; what leads to that file itself stays."""
    path = (made_from.parent / target).resolve()
    if not path.exists() or path in (DOCS, made_from):
        return target
    return Path(os.path.relpath(address(path), Path(page).parent)).as_posix()


def as_page(path: Path) -> str:
    """A file as Markdown: code as a block, a folder as the list of what it holds."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    title = f"{UNSEARCHED}# {path.relative_to(ROOT).as_posix()}\n\n"
    if path.is_dir():
        return title + "\n".join(f"- `{entry.name}`" for entry in sorted(path.glob("*.py")))
    return f"{title}{fenced(path.read_text(encoding='utf-8'), {'.py': 'python', '.yaml': 'yaml'}.get(path.suffix, 'text'))}"


def from_notebook(path: Path) -> str:
    """A notebook as Markdown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("\n\n".join(from_cell(cell)) for cell in cells)


def from_cell(cell: dict[str, Any]) -> Iterator[str]:
    """A cell: text as it is, code as a block, and below it what it printed."""
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else fenced(source, "python")
    for output in cell.get("outputs", ()):
        text = output.get("text") or output.get("data", {}).get("text/plain", ())
        yield fenced("".join(text), "text")


def fenced(text: str, language: str) -> str:
    """A block of code that may itself hold such blocks."""
    return f"````{language}\n{text.strip(chr(10))}\n````"
