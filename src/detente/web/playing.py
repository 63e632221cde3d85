"""Playing on pages: choosing a game, its page, and the person's answers."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detente.errors import UserError
from detente.web.names import offers
from detente.web.pages import page
from detente.web.runs import overview
from detente.web.safety import MissingError
from detente.web.table import Table
from detente.web.tables import Tables

LONGEST = 1000  # characters of a name


def play(request: Request) -> Response:
    """The page on which a game is chosen."""
    return page(request, "play.html", offers=offers(overview(request.app.state.root)), asked=request.query_params)


async def open_table(request: Request) -> Response:
    """Start a game."""
    asked = await _json(request)
    seat = asked.get("seat", 0)
    if not isinstance(seat, int):
        raise UserError("A seat is a number.")
    if len(str(asked.get("opponent", ""))) > LONGEST:
        raise UserError("That is no opponent: the name is too long.")
    tables: Tables = request.app.state.tables
    table = await run_in_threadpool(tables.open, str(asked.get("game", "")), str(asked.get("opponent", "")), seat)
    return JSONResponse({"address": f"/play/{table.id}"})


def table(request: Request) -> Response:
    """The page of one game."""
    return page(request, "table.html", table=_table(request))


def state(request: Request) -> Response:
    """How that game stands."""
    return JSONResponse(_table(request).state())


async def answer(request: Request) -> Response:
    """The person's answer to a question of the game."""
    given = await _json(request)
    number, line = given.get("number"), given.get("line")
    if not isinstance(number, int) or not isinstance(line, str):
        raise UserError("An answer is a line of text for a question with a number.")
    return JSONResponse({"problem": _table(request).answer(number, line)})


def _table(request: Request) -> Table:
    tables: Tables = request.app.state.tables
    try:
        return tables.table(request.path_params["id"])
    except KeyError:
        raise MissingError("There is no such game here any more; games that are finished are among the transcripts.") from None


async def _json(request: Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError("What was sent is not what this page understands.")
    return found


ROUTES = [
    Route("/play", play, methods=["GET"]),
    Route("/play", open_table, methods=["POST"]),
    Route("/play/{id}", table),
    Route("/state/{id}", state),
    Route("/answer/{id}", answer, methods=["POST"]),
]
