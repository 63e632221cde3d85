"""``detente serve-engine``: the command of a server, and its start."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detente import cli
from detente.engines.vllm.command import RANKS, Serving

SERVING = Serving("/models/m", "m", "127.0.0.1", 8000, 0, "float32", 8, 32, None, True)


def test_every_flag_that_the_engine_needs(capsys: pytest.CaptureFixture[str], tiny_model: str) -> None:
    assert (
        cli.main(
            ["serve-engine", tiny_model, "--gpus", "2", "--adapters", "30", "--rank", "33", "--context", "512", "--memory", "0.4"]
        )
        == 0
    )
    words = shlex.split(capsys.readouterr().out.replace("\\\n", " "))
    assert words[:5] == ["VLLM_ALLOW_RUNTIME_LORA_UPDATING=1", "HF_HUB_OFFLINE=1", "vllm", "serve", str(Path(tiny_model).resolve())]
    flags = " ".join(words[5:])
    for flag in (
        f"--served-model-name {tiny_model}",
        "--dtype bfloat16",
        "--tensor-parallel-size 2",
        "--max-model-len 512",
        "--gpu-memory-utilization 0.4",
        "--enable-lora --max-lora-rank 64 --max-loras 31",
        "--logprobs-mode processed_logprobs",
        '--structured-outputs-config {"backend":"guidance"}',
        "--generation-config vllm",
    ):
        assert flag in flags


def test_a_cpu_has_variables_of_its_own() -> None:
    assert "VLLM_CPU_KVCACHE_SPACE" in SERVING.environment
    assert ("--enforce-eager",) in SERVING.flags
    assert RANKS[-1] == 512


def test_heads_that_a_cpu_has_no_attention_for_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, warned in ((["pocket", "--gpus", "0"], True), (["pocket", "--gpus", "1"], False)):
        assert cli.main(["serve-engine", *arguments]) == 0
        shown = capsys.readouterr()
        assert ("pocket has heads of 24: serve smollm2-135m, or pocket32" in shown.err) == warned
        assert "pocket32" not in shown.out


def test_start_becomes_the_server(command: Callable[..., Any], tiny_model: str, tmp_path: Path) -> None:
    program = tmp_path / "vllm"
    program.write_text('#!/bin/sh\necho "$VLLM_ALLOW_RUNTIME_LORA_UPDATING $1 $2"\nexit 7\n')
    program.chmod(0o755)
    process = command("serve-engine", tiny_model, "--start", "--gpus", "0", "--vllm", str(program))
    assert process.wait() == 7
    assert process.out == f"1 serve {Path(tiny_model).resolve()}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere/x/y"], "The model 'nowhere/x/y' cannot be loaded"),
        (["pocket", "--start", "--gpus", "0", "--vllm", "/nowhere/vllm"], "There is no program '/nowhere/vllm'"),
        (["pocket", "--rank", "600"], "Invalid value for '--rank'"),
    ],
)
def test_what_cannot_be_served(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve-engine", *arguments]) == 2
    assert said in capsys.readouterr().err
