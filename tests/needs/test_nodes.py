"""What is said of a machine of a cluster beside this one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detente.needs.nodes import Seen, judged, looked_around

HERE = Seen("here", {"python": "3.11.7", "detente": "0.2.0", "torch": "2.13.0+cpu", "ray": "2.60.0"}, ())


@pytest.mark.parametrize(
    ("differs", "passed", "said"),
    [
        ({}, True, "2 cores, python 3.11.7, detente 0.2.0, torch 2.13.0+cpu, ray 2.60.0"),
        ({"torch": "2.13.0+cu126"}, True, "torch 2.13.0+cu126"),  # a machine with GPUs
        ({"torch": "2.12.0"}, False, "here is torch 2.13.0+cpu: install the same on all machines"),
        ({"detente": "missing"}, False, "here is detente 0.2.0: install the same on all machines"),
    ],
)
def test_versions_are_those_of_this_machine(differs: dict[str, str], passed: bool, said: str) -> None:
    check = judged("machine 10.0.0.2", "2 cores", replace(HERE, versions={**HERE.versions, **differs}), HERE)
    assert (check.what, check.passed) == ("machine 10.0.0.2", passed)
    assert check.seen.endswith(said) or said in check.seen


def test_a_folder_has_to_be_on_all_machines_and_a_model_of_the_hub_is_fetched(tiny_model: str) -> None:
    assert looked_around([tiny_model]).missing == ()
    assert looked_around(["Some/Model"]).missing == ("Some/Model",)
    absent = judged("machine", "2 cores", replace(HERE, missing=(tiny_model,)), HERE)
    assert (absent.passed, absent.seen.endswith(f"lacks {tiny_model}: put it under the same path on all machines")) == (False, True)
    fetched = judged("machine", "2 cores", replace(HERE, missing=("Some/Model",)), HERE)
    assert (fetched.passed, fetched.seen.endswith("will fetch Some/Model")) == (True, True)
