"""What a run will need, before anything runs.

    options, game, shape of the model ──> chats ──> memory, disk, time ──> plan: does it fit, and if not, which options would

``shape``, ``chats``, ``memory``, ``disk`` and ``times`` are pure functions of values, and load no model library. ``trial`` plays a
few episodes with the real model and measures.
"""
