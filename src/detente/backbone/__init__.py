"""What engines and learners share of a base model: attention, layers with LoRA adapters, and the head.

Both compute through these, so that what was sampled and what is trained have the same distribution.
"""
