"""What verifiers imports for the taskset ``detente-social-dilemmas``; see ``detente.environments.verifiers``."""

from detente.environments.verifiers import DilemmaEnv, DilemmaTaskset

__all__ = ["DilemmaEnv", "DilemmaTaskset"]
