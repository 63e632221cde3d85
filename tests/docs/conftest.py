"""Shared by the tests of the documentation."""

from tests.browsing import browser  # noqa: F401
