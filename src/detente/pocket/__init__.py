"""The embedded model ``pocket``: weights and tokenizer in ``model/``, and ``build.py``, the script that made them from nothing."""
