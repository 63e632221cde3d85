"""The page of the public names follows the docstrings, and every public name has one."""

import importlib.util
import inspect
from pathlib import Path

import detente

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_the_docstrings_say() -> None:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == module.page(), "run 'make reference'"


def test_every_public_name_says_what_it_is_and_has_types() -> None:
    assert set(detente.__all__) <= set(dir(detente))
    for name in detente.__all__:
        value = getattr(detente, name)
        assert inspect.getdoc(value), name
        if inspect.isfunction(value):
            annotations = inspect.get_annotations(value)
            assert set(inspect.signature(value).parameters) | {"return"} == set(annotations), name
