"""Every number and operator of the modules in ALTERED matters: a copy with one of them altered fails the tests of the same name.

A mutant is compiled in memory and takes the module's place in the tests of the same name, of which those without arguments run
until one fails.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ALTERED = ("credit", "branch_values", "annealing", "loss")

SWAPS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Gt: ast.GtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}

# Lines whose numbers change nothing that can be computed, by their start, with the reason.
EQUIVALENT = {
    "chunk: int = 1024": "the size of a chunk changes memory, not values",
    "finite = weighed.masked_fill(": "whatever finite number replaces -inf there is multiplied by a probability of 0",
}


def mutants(source: Any) -> Iterator[Any]:
    """(line number, what changed, altered tree), one alteration each."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for new in replacements(node):
            altered = copy.deepcopy(tree, {id(node): ast.copy_location(new, node)})
            yield node.lineno, f"{ast.unparse(node)} -> {ast.unparse(new)}", ast.fix_missing_locations(altered)  # type: ignore[attr-defined]


def replacements(node: Any) -> Iterator[Any]:
    """The nodes to put in this one's place."""
    match node:
        case ast.Constant(value=bool()):
            return
        case ast.Constant(value=int() as value):
            yield from (ast.Constant(new) for new in (value + 1, value - 1))
        case ast.Constant(value=float() as value):
            yield from (ast.Constant(new) for new in sorted({value + 1, value - 1, value * 1.1, value + 0.1} - {value}))
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            yield with_fields(node, op=SWAPS[type(op)]())
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            yield with_fields(node, ops=[SWAPS[type(op)]()])
        case ast.UnaryOp(op=ast.USub() | ast.Invert()):
            yield node.operand


def with_fields(node: Any, **fields: Any) -> Any:
    node = copy.copy(node)
    vars(node).update(fields)
    return node


def load_tests(name: Any) -> Any:
    path = Path(__file__).parent / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"mutated_test_{name}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)
    return module


def checks(tests: Any) -> Any:
    """The tests that take no argument."""
    functions = [value for name, value in vars(tests).items() if name.startswith("test_") and inspect.isfunction(value)]
    return [function for function in functions if not inspect.signature(function).parameters]


def killed(tests: Any, name: Any, code: Any) -> Any:
    """Whether some test fails with this code in the module's place."""
    mutant = ModuleType(f"detente.learning.{name}")
    try:
        exec(code, mutant.__dict__)
        setattr(tests, name, mutant)
        for check in checks(tests):
            check()
    except (Exception, pytest.fail.Exception):
        return True
    return False


@pytest.mark.parametrize("name", ALTERED)
def test_every_mutant_fails(name: str) -> None:
    source = inspect.getsource(importlib.import_module(f"detente.learning.{name}"))
    lines = source.splitlines()
    tests = load_tests(name)
    assert not killed(tests, name, source), "the tests must pass on the module as it is"
    survivors = []
    for number, change, tree in mutants(source):
        line = lines[number - 1].strip()
        if not line.startswith(tuple(EQUIVALENT)) and not killed(tests, name, compile(tree, name, "exec")):
            survivors.append(f"line {number}: {change}: {line}")
    assert not survivors, "\n".join(survivors)


@pytest.mark.parametrize("start", EQUIVALENT)
def test_the_exceptions_are_lines_that_exist(start: Any) -> None:
    sources = [inspect.getsource(importlib.import_module(f"detente.learning.{name}")) for name in ALTERED]
    assert sum(line.strip().startswith(start) for source in sources for line in source.splitlines()) == 1
