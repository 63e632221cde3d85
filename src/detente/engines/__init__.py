"""Engines continue token ids under a named policy: ``base`` says what one is, ``transformers`` is the in-process one."""
