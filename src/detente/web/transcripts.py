"""Episodes of a run, an arena or a person: their files, and a search through them that never holds more than one file.

    address ──> Source (files) ── Filters ──> search, forwards or backwards from a place ──> hits, and where to continue

A search ends when a page is full or its time is over: then it says how far it came, and the next request continues there.
Must not import torch.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from detente import jsonl
from detente.records import Episode
from detente.visible import visible
from detente.web import runs
from detente.web.episodes import MOST, Fact, exploited, facts, said, text
from detente.web.safety import MissingError, inside, shown, whole

PAGE = 20  # episodes on a page
PATIENCE_S = 2.0  # for one request
AROUND = 60  # characters beside a hit

Place = tuple[int, int]  # the file and the line, counted from 0


@dataclass(frozen=True, slots=True)
class Source:
    """Files with episodes, in order, under one title. ``trained``: they are the iterations of a run."""

    name: str
    title: str
    files: tuple[Path, ...]
    trained: bool = False
    cell: str = ""


@dataclass(frozen=True, slots=True)
class Filters:
    """The conditions that an episode must meet to be shown."""

    text: str = ""
    iteration: int | None = None
    kind: str = ""
    invalid: bool = False
    exploited: bool = False

    def query(self) -> dict[str, str]:
        """The filters as parameters of an address."""
        return {
            key: str(int(value) if value is True else value)
            for key, value in asdict(self).items()
            if value not in ("", None, False)
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """An episode that meets the filters, and a quote: the text before the first searched words, these words, the text after."""

    place: Place
    fact: Fact
    round: int | None = None
    seat: str = ""
    quote: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """A page of hits. ``next``: where the search continues, None at the end of the files; ``searched``: files that it finished."""

    hits: tuple[Hit, ...]
    next: Place | None
    searched: int


def source(root: Path, name: str, cell: str = "") -> Source:
    """The episodes under a name: a run, an arena or one cell of it, a folder or a file of episodes."""
    from detente.web.arena import cell_files

    path = inside(root, name)
    if path.is_file():
        if not jsonl.is_jsonl(path):
            raise MissingError(f"'{name}' holds no episodes.")
        return Source(name, name, (path,))
    if runs.is_arena(path) and cell:
        title, files = cell_files(path, cell)
        return Source(name, title, _below(root, files), cell=cell)
    trained = (path / "config.yaml").is_file()
    files = jsonl.files(path / "episodes" if trained or runs.is_arena(path) else path)
    return Source(name, "Games that people played" if name == runs.PLAYED else name, _below(root, files), trained)


def filters(query: Mapping[str, str]) -> Filters:
    """The filters in the parameters of an address; missing and invalid ones filter nothing."""
    return Filters(
        text=query.get("text", "").strip(),
        iteration=whole(query.get("iteration", "")),
        kind=query.get("kind", ""),
        invalid=bool(query.get("invalid")),
        exploited=bool(query.get("exploited")),
    )


def search(
    files: Sequence[Path],
    wanted: Filters,
    start: Place | None = None,
    *,
    back: bool = False,
    limit: int = PAGE,
    patience_s: float = PATIENCE_S,
    clock: Callable[[], float] = time.monotonic,
) -> Hits:
    """The episodes from ``start`` on (``back``: before it, the nearest first), by default from the beginning or the end."""
    end = clock() + patience_s
    hits: list[Hit] = []
    seen = 0
    for i in _order(len(files), start, back):
        if seen and clock() > end:
            return Hits(tuple(hits), (i + 1, 0) if back else (i, 0), seen)
        seen += 1
        if not _may_hold(files[i], wanted):
            continue
        for place, fact in _lines(files, i, start, back):
            hit = _hit(files[i], place, fact, wanted)
            if hit is None:
                continue
            if len(hits) == limit:
                return Hits(tuple(hits), (i, place[1] + 1) if back else place, seen)
            hits.append(hit)
    return Hits(tuple(hits), None, seen)


def matching_rounds(episode: Episode, wanted: Filters) -> list[bool]:
    """Which rounds meet the filters for rounds (words, invalid, exploited); none where there is no such filter."""
    words, robbed = _pattern(wanted.text), exploited(episode)
    asked = [
        *([[any(words.search(said(turn)) for turn in played.turns) for played in episode.rounds]] if wanted.text else []),
        *([[any(not turn.valid for turn in played.turns) for played in episode.rounds]] if wanted.invalid else []),
        *([[bool(players) for players in robbed]] if wanted.exploited else []),
    ]
    return [any(matches) for matches in zip(*asked, strict=True)] if asked else [False] * len(episode.rounds)


def _below(root: Path, files: Sequence[Path]) -> tuple[Path, ...]:
    """The files that exist, have names that addresses can hold, and are not outside of the root."""
    there = (file for file in files if os.path.isfile(file) and shown(str(file)) == str(file))
    return tuple(file for file in there if file.resolve().is_relative_to(root))


def _order(count: int, start: Place | None, back: bool) -> range:
    if back:
        return range(min(start[0] if start else count - 1, count - 1), -1, -1)
    return range(start[0] if start else 0, count)


def _may_hold(file: Path, wanted: Filters) -> bool:
    """False where a file surely holds no such episode; much faster than reading its episodes."""
    if wanted.iteration is not None and whole(jsonl.name(file)) not in (None, wanted.iteration):
        return False
    if not (wanted.text or wanted.invalid):
        return True
    try:
        content = b"".join(jsonl.lines(file, MOST)).decode(errors="replace")
    except ValueError:
        return True  # reading its episodes will say what is wrong
    return (not wanted.text or _mentions(content, wanted.text)) and (not wanted.invalid or '"valid":false' in content)


def _mentions(line: str, words: str) -> bool:
    """Whether JSON may hold the words in a string."""
    return json.dumps(words, ensure_ascii=False)[1:-1].lower() in line.lower()


def _lines(files: Sequence[Path], i: int, start: Place | None, back: bool) -> Iterator[tuple[Place, Fact]]:
    """The lines of a file that lie in the direction of the search."""
    known = list(enumerate(facts(files[i])))
    line_number = start[1] if start and start[0] == i else None
    chosen = known[:line_number][::-1] if back else known[line_number or 0 :]
    return (((i, line), fact) for line, fact in chosen)


def _hit(file: Path, place: Place, fact: Fact, wanted: Filters) -> Hit | None:
    if (
        (wanted.iteration is not None and fact.iteration != wanted.iteration)
        or (wanted.kind and fact.kind != wanted.kind)
        or (wanted.invalid and not fact.invalid)
        or (wanted.exploited and not fact.exploited)
    ):
        return None
    return _quoted(file, place, fact, wanted.text) if wanted.text else Hit(place, fact)


def _quoted(file: Path, place: Place, fact: Fact, words: str) -> Hit | None:
    """The first turn in which the words were said."""
    line = text(file, fact)
    if not _mentions(line, words):
        return None
    episode = Episode.from_json(line)
    for number, played in enumerate(episode.rounds, 1):
        for turn in played.turns:
            spoken = said(turn)
            if where := _pattern(words).search(spoken):
                at, end = where.span()
                before, words_said, after = spoken[max(0, at - AROUND) : at], spoken[at:end], spoken[end : end + AROUND]
                quote = (visible(before), visible(words_said), visible(after))
                return Hit(place, fact, number, episode.seat(turn.player), quote)
    return None


@lru_cache(maxsize=64)
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(re.escape(words), re.IGNORECASE)
