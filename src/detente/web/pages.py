"""Templates as answers. Everything that enters one is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from detente.reports.page import environment
from detente.web.safety import shown


def templates() -> Environment:
    """The templates of the pages and, for what they share, of reports."""
    return environment("detente.web")


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A template as a page."""
    return HTMLResponse(_html(request, template, context), status)


def fragment(request: Request, template: str, facts: Mapping[str, str] | None = None, **context: Any) -> JSONResponse:
    """A template as a part of a page, and what else the page's script needs to know."""
    return JSONResponse({"html": _html(request, template, context), **(facts or {})})


def _html(request: Request, template: str, context: dict[str, Any]) -> str:
    state = request.app.state
    html: str = state.environment.get_template(template).render(root=state.root.name, address=request.url.path, **context)
    return shown(html)
