"""What a model thinks before it answers, and what it says: one rule for local and remote models.

    "A or B? A.</think><A>" ── spoken ──> "<A>"        "<think>" ── closed ──> "<think> </think>"

Must not import torch.
"""

from __future__ import annotations

import re

from detente.engines.base import THOUGHT_ENDS

# Where thoughts begin may stand in the prompt, so that the answer holds their end alone.
THOUGHTS = re.compile(rf"\A.*?(?:{'|'.join(THOUGHT_ENDS)})", re.DOTALL)
OPENED = re.compile(r"<(think(?:ing)?)>\s*\Z")


def spoken(text: str) -> str:
    """An answer without the thoughts before it: everything up to the first ``</think>`` or ``</thinking>`` goes."""
    return THOUGHTS.sub("", text, count=1).strip()


def closed(prompt: str) -> str:
    """A prompt that leaves no thought open: one that its last words open is ended, without anything thought."""
    return OPENED.sub(r"<\1>\n\n</\1>\n\n", prompt)
