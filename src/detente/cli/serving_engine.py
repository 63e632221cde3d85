"""``serve-engine``: the command of a vLLM server that answers for the language models of runs, and its start."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detente.errors import UserError

if TYPE_CHECKING:
    from detente.engines.vllm.command import Serving

log = logging.getLogger(__name__)

LARGEST_RANK = 512  # that vLLM takes


class Dtype(StrEnum):
    """The number formats of a server."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def serve_engine(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The base model, by the name that runs have it by.")],
    start: Annotated[bool, typer.Option("--start", help="Run the command; Ctrl-C ends it.")] = False,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8000,
    gpus: Annotated[
        int | None,
        typer.Option(min=0, max=1024, help="GPUs that share the model (0: a CPU).", show_default="1, or 0 without a GPU"),
    ] = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Its number format.", show_default="bfloat16, or float32 on a CPU")] = None,
    adapters: Annotated[int, typer.Option(min=1, max=10_000, help="Adapters at once: learners and kept versions.")] = 30,
    rank: Annotated[int, typer.Option(min=1, max=LARGEST_RANK, help="The largest lora.rank of an adapter.")] = 32,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens that a chat may have.", show_default="what the model can")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(min=0.05, max=1, help="Share of a GPU's memory that it takes.", show_default="vLLM's, 0.9")
    ] = None,
    vllm: Annotated[
        str | None, typer.Option(metavar="PROGRAM", help="The program vllm.", show_default="VLLM_ENV/bin/vllm, or vllm")
    ] = None,
) -> None:
    """Print the command of a vLLM server for engine=vllm, with every flag that it needs; --start runs it."""
    from detente import models
    from detente.engines.vllm.command import Serving

    models.check_name(model)
    here = model in models.MODELS or os.path.isdir(model)
    count = _gpus() if gpus is None else gpus
    serving = Serving(
        source=str(models.folder(model).resolve()) if here else model,
        name=model,
        host=host,
        port=port,
        gpus=count,
        dtype=dtype or ("bfloat16" if count else "float32"),
        adapters=adapters,
        rank=rank,
        context=context,
        offline=here,
        memory=memory,
    )
    if here and not count:
        _warn_of_heads(serving)
    program = vllm or _program()
    if not start:
        print(serving.shown(program))
        return
    found = shutil.which(program)
    if found is None:
        raise UserError(f"There is no program '{program}': install vLLM in an environment of its own, and name it with --vllm.")
    sys.stdout.flush()
    os.execve(found, serving.words(found), os.environ | dict(serving.environment))


def _program() -> str:
    """The program of the environment that VLLM_ENV names, else the one on the path."""
    environment = os.environ.get("VLLM_ENV")
    return str(Path(environment) / "bin" / "vllm") if environment else "vllm"


def _warn_of_heads(serving: Serving) -> None:
    """Say that a server on a CPU will not take the model, where its heads are of a size that vLLM has no attention for there."""
    from detente.engines.vllm.command import CPU_HEADS
    from detente.needs.shape import given

    with suppress(UserError):  # a model of another kind, of which nothing is known
        if (head := given(serving.source).head) not in CPU_HEADS:
            log.warning(
                "vLLM on a CPU takes heads of %s or more numbers, and %s has heads of %d: serve smollm2-135m, or pocket32, "
                "which is pocket with wider heads (python -m detente.pocket.pocket32 FOLDER writes it).",
                ", ".join(map(str, CPU_HEADS[:4])),
                serving.name,
                head,
            )


def _gpus() -> int:
    """One, where this machine has any."""
    import torch

    return int(torch.cuda.is_available())
