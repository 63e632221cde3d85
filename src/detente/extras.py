"""Libraries that only a part of the package needs, each an extra of the package: ``pip install 'detente[pettingzoo]'``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detente.errors import UserError


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Turn a library that is missing inside into a UserError that says ``what`` needs it and how to get it."""
    try:
        yield
    except ImportError as error:
        raise UserError(f"{what} needs more than is installed: pip install 'detente[{extra}]' ({error}).") from error
