"""The pages of the reference follow the code, and every public name says what it is."""

import importlib.util
import inspect
from pathlib import Path

import pytest

import detente

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("script", ["make_reference", "make_options"])
def test_pages_are_what_the_code_says(script: str) -> None:
    spec = importlib.util.spec_from_file_location(script, ROOT / "docs" / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, page in module.PAGES.items():
        assert path.read_text(encoding="utf-8") == page(), "run 'make reference'"


def test_every_public_name_says_what_it_is_and_has_types() -> None:
    assert set(detente.__all__) <= set(dir(detente))
    for name in detente.__all__:
        value = getattr(detente, name)
        assert inspect.getdoc(value), name
        if inspect.isfunction(value):
            annotations = inspect.get_annotations(value)
            assert set(inspect.signature(value).parameters) | {"return"} == set(annotations), name
