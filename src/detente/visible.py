r"""Text from models, servers and names of folders, made harmless: characters that act on a terminal are written out.

    "\x1b[2J\u202eevil"  ──>  "\\x1b[2J\\u202eevil"         control characters, characters that are invisible or change the
                                                           direction of writing, and bytes of names that are not UTF-8

Standard library only.
"""

from __future__ import annotations

import re
import unicodedata

CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
JOINERS = "\u200c\u200d"  # letters of some scripts and pictures are made with them


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if unicodedata.category(char) not in CATEGORIES or char in JOINERS:
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str, keep: str = "\n\t") -> str:
    """The text with all invisible characters written out, except those to ``keep``. Idempotent."""
    return re.sub(rf"[^ -~{re.escape(keep)}]", _escaped, text)
