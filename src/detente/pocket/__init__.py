"""The embedded models ``pocket`` (in ``model/``) and ``pocket_groups`` (in ``groups/``), and ``build.py``, which made them."""
