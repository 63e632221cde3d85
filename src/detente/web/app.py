"""The application: which address shows what, and how an error becomes a page of one sentence.

    /  /run  /transcripts  /episode  /arena  /play  /play/ID        pages
    /rows  /stamp  /part  /state/ID        what their scripts ask for, as JSON
    POST /play  /answer/ID                 what a person does

All names in addresses are names below the folder of runs. Must not import torch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from detente.config import Config
from detente.errors import UserError
from detente.web import playing, reading
from detente.web.matches import PATIENCE_S, Matches
from detente.web.names import offered_games
from detente.web.pages import page, templates
from detente.web.safety import HEADERS, LOCAL, MissingError, SameOrigin, StrictHeaders, shown

LARGEST = 1 << 16  # bytes of a request
HERE = Path(__file__).parent
SHARED = HERE.parent / "reports" / "templates"  # used by reports too


def build(
    root: Path, host: str = "127.0.0.1", *, games: Mapping[str, Config] | None = None, patience_s: float = PATIENCE_S
) -> Starlette:
    """The pages over a folder, for requests that name ``host`` or this machine.

    ``games``: options by the name under which a person may play their game, beside the presets and games of the package; the code
    that they name is run. UserError for a game that nobody can play.
    """
    own = dict(games or {})
    matches = Matches(root, games=own, patience_s=patience_s)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        matches.close()

    hosts = [*LOCAL, f"[{host}]" if ":" in host else host]
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(StrictHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
            Middleware(SameOrigin),
        ],
        exception_handlers={MissingError: _missing, UserError: _user_error, HTTPException: _http_error, Exception: _fault},
        lifespan=lifespan,
        max_body_size=LARGEST,
    )
    app.state.root, app.state.matches, app.state.environment = root.resolve(), matches, templates()
    app.state.offered = offered_games(own)
    return app


def shared(request: Request) -> Response:
    """Style and script that pages share with reports."""
    name = request.path_params["name"]
    media_types = {"style.css": "text/css", "episode.js": "text/javascript"}
    if name not in media_types:
        raise MissingError(f"There is no '{name}' here.")
    return Response((SHARED / name).read_text(encoding="utf-8"), media_type=media_types[name])


def _error_response(request: Request, sentence: str, status: int) -> Response:
    """An error as one sentence: on a page, or for the script of a page."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"error": shown(sentence)}, status)
    return page(request, "message.html", status, sentence=sentence, missing=status == 404)


def _missing(request: Request, error: Exception) -> Response:
    return _error_response(request, str(error), 404)


def _user_error(request: Request, error: Exception) -> Response:
    return _error_response(request, str(error).replace(f"{request.app.state.root}/", ""), 422)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "There is no page at this address.", 405: "This address does not take that."}
    return _error_response(request, words.get(error.status_code, f"{str(error.detail).rstrip('.')}."), error.status_code)


def _fault(request: Request, error: Exception) -> Response:
    what = " ".join(f"{type(error).__name__} {error}".split())
    response = _error_response(request, f"This page failed: {what}; this is a fault of ours.", 500)
    response.headers.update(HEADERS)  # it is made outside of all middleware
    return response


ROUTES = [
    *reading.ROUTES,
    *playing.ROUTES,
    Route("/shared/{name}", shared),
    Mount("/static", StaticFiles(directory=HERE / "static")),
]
