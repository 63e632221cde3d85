"""The pages that show the content of the folder of runs: the overview, runs, arenas and transcripts."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detente import jsonl
from detente.errors import UserError
from detente.family_file import FILE
from detente.reports.transcript import KINDS, page_data
from detente.web import arena, live, runs, transcripts
from detente.web.episodes import episode, exploited, facts
from detente.web.pages import fragment, page
from detente.web.runs import is_arena, overview, relative
from detente.web.safety import MissingError, inside, whole
from detente.web.transcripts import Filters, Place, Source, matching_rounds, search

FOLDED = {"diagnostics": "Training diagnostics"}  # parts that are drawn when a reader opens them


def home(request: Request) -> Response:
    """The overview."""
    return page(request, "overview.html", overview=overview(request.app.state.root))


def rows(request: Request) -> Response:
    """The part of the overview that changes."""
    return fragment(request, "overview_rows.html", overview=overview(request.app.state.root))


def run(request: Request) -> Response:
    """One run, or several side by side."""
    names, paths = _runs(request)
    return page(
        request,
        "run.html",
        runs=live.heading(paths),
        names=names,
        query=urlencode([("run", name) for name in names]),
        parts=live.names(paths),
        folded=FOLDED,
        stamp=str(hash(live.stamp(paths))),
    )


def stamp(request: Request) -> Response:
    """A stamp that changes when the runs do, and the state of each run."""
    names, paths = _runs(request)
    when = live.stamp(paths)
    return fragment(request, "run_heading.html", {"stamp": str(hash(when))}, runs=live.heading(paths), names=names)


def part(request: Request) -> Response:
    """One part of the page about runs."""
    _, paths = _runs(request)
    name = request.query_params.get("name", "")
    if name not in live.names(paths):
        raise MissingError(f"A page about runs has no part '{name}'.")
    return JSONResponse({"html": live.part(paths, name)})


def transcript_list(request: Request) -> Response:
    """The episodes of a run, an arena, a cell, a folder or a file that meet the filters."""
    query = request.query_params
    source = _source(request)
    wanted = transcripts.filters(query)
    before = _place(query.get("before"))
    result = search(source.files, wanted, before or _place(query.get("from")), back=before is not None)
    hits = result.hits[::-1] if before else result.hits
    return page(
        request,
        "episodes.html",
        source=source,
        wanted=wanted,
        kinds=KINDS,
        hits=[(hit, _address(request, source, hit.place, wanted)) for hit in hits],
        iterations=[number for number in map(whole, map(jsonl.name, source.files)) if number is not None] if source.trained else [],
        earlier=_earlier(source, wanted, hits[0].place if hits else None, result.next if before else None),
        later=_later(source, wanted, before, result.next, hits),
        back=before is not None,
        unfinished=len(hits) < transcripts.PAGE and result.next is not None,
        searched=result.searched + (0 if before else (_place(query.get("from")) or (0, 0))[0]),
    )


def one_episode(request: Request) -> Response:
    """One episode, at an address of its own."""
    root: Path = request.app.state.root
    query = request.query_params
    file = inside(root, query.get("file", ""))
    number = whole(query.get("n", "0"))
    if not jsonl.is_jsonl(file) or number is None or number >= len(facts(file)):
        raise MissingError("There is no such episode.")
    fact, shown = episode(file, number)
    wanted = transcripts.filters(query)
    data = page_data([(fact.kind, shown)], longest=None)
    matching = matching_rounds(shown, wanted)
    for round_data, players, hit in zip(data["episodes"][0]["rounds"], exploited(shown), matching, strict=True):
        round_data |= {"exploited": players, "found": hit}
    source = _source(request) if query.get("in") else transcripts.source(root, relative(root, file))
    place = (source.files.index(file), number) if file in source.files else None
    neighbours = [
        search(source.files, wanted, place and (place[0], place[1] + step), back=back, limit=1, patience_s=0.5) if place else None
        for back, step in ((True, 0), (False, 1))
    ]
    links = [
        _address(request, source, neighbour.hits[0].place, wanted) if neighbour and neighbour.hits else ""
        for neighbour in neighbours
    ]
    return page(
        request,
        "episode.html",
        data=data | {"query": wanted.text, "filtered": any(matching)},
        fact=fact,
        source=source,
        back=_list(source, wanted, **({"from": f"{place[0]}.{place[1]}"} if place else {})),
        previous=links[0],
        next=links[1],
    )


def arena_page(request: Request) -> Response:
    """An arena: who met whom, the ranking, all measures."""
    root: Path = request.app.state.root
    name = request.query_params.get("in", "")
    folder = inside(root, name)
    if not is_arena(folder):
        raise MissingError(f"'{name}' is no arena.")
    for file in ("arena.json" if (folder / "arena.json").exists() else "arena.yaml", FILE):
        if (folder / file).exists():
            inside(root, relative(root, folder / file))
    if not (folder / "arena.json").is_file():
        return page(request, "arena_playing.html", name=name, played=arena.seatings_played(folder))
    board = arena.board(folder)
    measure = request.query_params.get("measure", "reward")
    if measure not in board.measures:
        measure = "reward"
    return page(request, "arena.html", name=name, board=board, measure=measure)


def _runs(request: Request) -> tuple[list[str], list[Path]]:
    """The different runs that an address names; none of their files leads out of the folder of runs."""
    root: Path = request.app.state.root
    names = list(dict.fromkeys(request.query_params.getlist("run")))
    paths = [inside(root, name) for name in names]
    for path, name in zip(paths, names, strict=True):
        if not (path / "config.yaml").is_file():
            raise MissingError(f"'{name}' is no run: it has no config.yaml.")
        for file in live.WATCHED:
            if (path / file).exists():
                inside(root, relative(root, path / file))
        if problem := runs.run(root, path).problem:
            raise UserError(problem)
    if not paths:
        raise MissingError("No run was chosen: tick one or more on the overview.")
    return names, paths


def _source(request: Request) -> Source:
    asked = request.query_params
    return transcripts.source(request.app.state.root, asked.get("in", ""), asked.get("cell", ""))


def _place(text: str | None) -> Place | None:
    """``3.17``: line 17 of file 3."""
    first, _, second = (text or "").partition(".")
    file, line = whole(first), whole(second)
    return None if file is None or line is None else (file, line)


def _list(source: Source, wanted: Filters, **more: str) -> str:
    """The address of a list of episodes."""
    cell = {"cell": source.cell} if source.cell else {}
    return f"/transcripts?{urlencode({'in': source.name, **cell, **wanted.query(), **more})}"


def _address(request: Request, source: Source, place: Place, wanted: Filters) -> str:
    """The address of an episode, with that of the list to go back to."""
    file = relative(request.app.state.root, source.files[place[0]].resolve())
    cell = {"cell": source.cell} if source.cell else {}
    return f"/episode?{urlencode({'file': file, 'n': place[1], 'in': source.name, **cell, **wanted.query()})}"


def _earlier(source: Source, wanted: Filters, first: Place | None, next_place: Place | None) -> str:
    """Where the page before this one begins, if there is one."""
    place = next_place or first
    if place is None or not (next_place or search(source.files, wanted, place, back=True, limit=1, patience_s=0.5).hits):
        return ""
    return _list(source, wanted, before=f"{place[0]}.{place[1]}")


def _later(source: Source, wanted: Filters, before: Place | None, next_place: Place | None, hits: object) -> str:
    place = before or next_place
    return "" if place is None else _list(source, wanted, **{"from": f"{place[0]}.{place[1]}"})


ROUTES = [
    Route("/", home),
    Route("/rows", rows),
    Route("/run", run),
    Route("/stamp", stamp),
    Route("/part", part),
    Route("/transcripts", transcript_list),
    Route("/episode", one_episode),
    Route("/arena", arena_page),
]
