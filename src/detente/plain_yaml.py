"""YAML as data: mappings with text as keys, lists, text, finite numbers, true, false and null. Files of detente hold no more.

    text ── small? no anchors, aliases, tags, merge or double keys? ──> values

What else YAML can do is refused: with aliases a kilobyte of text becomes a tree of any size, a tag makes objects. ValueError says
in a few words what is wrong; the caller adds where the text came from.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

SIZE = 1 << 20  # characters
DEPTH = 32  # of lists and mappings inside of each other
NODES = 50_000  # values and keys
WHOLE = 2**63  # whole numbers lie below, which is what JSON holds
LONGEST = 200  # characters of a reason
IMPLICIT = {"tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}  # plain text stays text
EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the former, in C, is seven times faster and not in every installation


class _File(_Base):  # type: ignore[misc]
    """How files are read."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ValueError(
                    f"the key {key_node.value if isinstance(key_node, yaml.ScalarNode) else '?'} is no text; put it in quotes"
                )
            if key == "<<":
                raise ValueError("it has a merge key (<<)")
            if key in mapping:
                raise ValueError(f"the key {key} stands there twice")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def construct_yaml_float(self, node: Any) -> float:
        value: float = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise ValueError(f"{node.value} is no finite number")
        return value

    def construct_yaml_int(self, node: Any) -> int:
        if len(node.value) > LONGEST or not -WHOLE <= (value := int(super().construct_yaml_int(node))) < WHOLE:
            raise ValueError("it has a whole number of more than 64 bits")
        return value


class _Typed(_File):
    """How a value on the command line is read: 1e-4 is a number, which it is not in YAML."""


for _loader in (_File, _Typed):
    _loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in IMPLICIT]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }
    _loader.add_constructor("tag:yaml.org,2002:float", _loader.construct_yaml_float)
    _loader.add_constructor("tag:yaml.org,2002:int", _loader.construct_yaml_int)
_Typed.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


def parse(text: str, *, typed: bool = False) -> Any:
    """The values of a text; ``typed`` on the command line. ValueError where it is no YAML, or more than data."""
    loader = _Typed if typed else _File
    try:
        _check(text, loader)
        return yaml.load(text, Loader=loader)
    except UnicodeError:
        raise ValueError("it is no text in UTF-8") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:LONGEST].rstrip(".")) from error


def _check(text: str, loader: Any) -> None:
    """ValueError for a text that is large, or deep, or holds anchors, aliases or tags."""
    if len(text) > SIZE:
        raise ValueError(f"it has more than {SIZE:,} characters")
    depth = nodes = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("it has an anchor or an alias (& or *); write the values out, or in quotes where they are text")
        if (tag := getattr(event, "tag", None)) is not None:
            raise ValueError(f"it has a tag ({tag[:LONGEST]}); write plain values, or in quotes where they are text")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > DEPTH:
            raise ValueError(f"it has more than {DEPTH} lists and mappings inside of each other")
        if nodes > NODES:
            raise ValueError(f"it has more than {NODES:,} values")
