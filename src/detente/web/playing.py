"""Playing on pages: choosing a game, its page, and the person's answers."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detente.errors import UserError
from detente.web.match import LiveMatch
from detente.web.matches import Matches
from detente.web.names import OWN, offers
from detente.web.pages import page
from detente.web.runs import overview
from detente.web.safety import MissingError

LONGEST = 1000  # characters of a name


def play(request: Request) -> Response:
    """The page on which a game is chosen."""
    state = request.app.state
    offered = offers(state.offered, overview(state.root))
    first = next((name for name, offer in state.offered.items() if offer["group"] == OWN), "ipd")
    return page(request, "play.html", offers=offered, asked=request.query_params, first=first)


async def open_match(request: Request) -> Response:
    """Start a match."""
    sent = await _json(request)
    seat = sent.get("seat", 0)
    if not isinstance(seat, int):
        raise UserError("A seat is a number.")
    if len(str(sent.get("opponent", ""))) > LONGEST:
        raise UserError("That is no opponent: the name is too long.")
    matches: Matches = request.app.state.matches
    match = await run_in_threadpool(matches.open, str(sent.get("game", "")), str(sent.get("opponent", "")), seat)
    return JSONResponse({"address": f"/play/{match.id}"})


def match(request: Request) -> Response:
    """The page of a match."""
    return page(request, "match.html", match=_match(request))


def state(request: Request) -> Response:
    """The present state of a match, for the script of its page."""
    return JSONResponse(_match(request).state())


async def answer(request: Request) -> Response:
    """The person's answer to a question of a match."""
    sent = await _json(request)
    number, line = sent.get("number"), sent.get("line")
    if not isinstance(number, int) or not isinstance(line, str):
        raise UserError("An answer is a line of text for a question with a number.")
    return JSONResponse({"problem": _match(request).answer(number, line)})


def leave(request: Request) -> Response:
    """The person leaves the match."""
    _match(request).leave()
    return JSONResponse({})


def _match(request: Request) -> LiveMatch:
    matches: Matches = request.app.state.matches
    try:
        return matches.match(request.path_params["id"])
    except KeyError:
        raise MissingError("There is no such game here any more; games that are finished are among the transcripts.") from None


async def _json(request: Request) -> dict[str, Any]:
    try:
        content = await request.json()
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError("What was sent is not what this page understands.")
    return content


ROUTES = [
    Route("/play", play, methods=["GET"]),
    Route("/play", open_match, methods=["POST"]),
    Route("/play/{id}", match),
    Route("/state/{id}", state),
    Route("/answer/{id}", answer, methods=["POST"]),
    Route("/leave/{id}", leave, methods=["POST"]),
]
