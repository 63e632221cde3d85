"""Trials: several episodes with the same others, of which a learner is told and from which it learns as from one long episode.

    episodes since a learner's update ── same group and index ──> summary ──> the briefing of its seat in the next one

There is no loop of trials. A trial is what lies between two updates of a learner with ``collect: trial``, and a ``lifetime`` of
the learner opposite ends with it. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from detente.config import Config
from detente.copies import all_learners, copies, shared_names
from detente.errors import UserError, counted
from detente.games.base import Game
from detente.games.summaries import summary
from detente.matches import NONE, Stream
from detente.records import Episode, Seating


def briefed(
    config: Config,
    game: Game,
    groups: Sequence[Sequence[Seating]],
    backlog: Sequence[Episode],
    stream: Stream,
    games: Mapping[int, Game] = NONE,
) -> list[list[Seating]]:
    """The seatings of an iteration, with what each learner is told of the episodes since its last update.

    These are the episodes of the backlog with the same group, index and seat. ``stream`` gives the game seeds of the iteration,
    ``games`` by group the game where it is another one than ``game``.
    """
    options = {learner: config.learner(name) for learner, name in shared_names(config).items()}
    past: dict[int, list[Episode]] = {}
    for episode in backlog:
        past.setdefault(episode.index, []).append(episode)

    def text(seating: Seating, seat: int) -> str:
        learner = seating.learners[seat]
        if learner is None or options[learner].briefing == "none":
            return ""
        done = seating.iteration - 1
        updated = done - done % options[learner].update_every
        earlier = [e for e in past.get(seating.index, ()) if e.iteration > updated and e.learners[seat] == learner]
        return summary(options[learner].briefing, games.get(seating.group, game), earlier, seat, stream.game(seating))

    def told(seating: Seating) -> Seating:
        briefing = tuple(text(seating, seat) for seat in range(len(seating.learners)))
        return replace(seating, briefing=briefing) if any(briefing) else seating

    return [[told(seating) for seating in group] for group in groups]


def check_trials(config: Config, game: Game) -> None:
    """UserError for copies, lifetimes and trials that do not fit together, or not the game."""
    taken = (*config.seats, *config.learner_names)
    groups = config.episodes // config.group_size
    for name in config.learner_names:
        options = config.learner(name)
        if groups % options.copies:
            raise UserError(
                f"The groups of an iteration, {groups} (episodes / group_size), must be a multiple of learners.{name}.copies "
                f"({options.copies}), so that every copy of '{name}' plays as many."
            )
        if clash := next((copy for copy in copies(config, name) if copy != name and copy in taken), None):
            raise UserError(f"A copy of the learner '{name}' is called '{clash}', and so is a seat; give one of them another name.")
        if options.lifetime is not None and config.opponents.kept:
            raise UserError(
                f"opponents.kept plays earlier versions, and the learner '{name}' starts anew after its lifetime of "
                f"{counted(options.lifetime, 'iteration')}, so none of it is kept; set opponents.kept=0 or leave its "
                "lifetime unset."
            )
        if config.overlap and (options.lifetime is not None or options.briefing != "none"):
            what = "a lifetime" if options.lifetime is not None else "a briefing"
            raise UserError(
                f"overlap=1 plays the next episodes before the update that they would follow, and the learner '{name}' has {what}, "
                "which begins with that update; set overlap=0."
            )
        if options.collect == "trial" or options.briefing != "none":
            _check_same_others(config, name)
        if options.collect == "trial":
            _check_compared(config, name)
            if getattr(game, "continuation", None) is not None:
                raise UserError(
                    f"collect=trial of the learner '{name}' needs episodes of equal length; set game.continuation=null."
                )
    if len(set(all_learners(config))) < len(all_learners(config)):
        raise UserError("Two copies of learners have the same name; give their learners others.")


def _check_same_others(config: Config, name: str) -> None:
    """UserError where a seat's others change within a trial, or the learner does not train in all of its episodes."""
    opponents = config.opponents
    wrong = [f"opponents.{share}=0" for share in ("kept", "scripted") if getattr(opponents, share)]
    wrong += [f"opponents.{option}=false" for option in ("rotate", "train_focal_only") if getattr(opponents, option)]
    if wrong:
        what = "collect=trial" if config.learner(name).collect == "trial" else "a briefing"
        raise UserError(f"The learner '{name}' with {what} plays a trial with the same others throughout; set {' '.join(wrong)}.")


def _check_compared(config: Config, name: str) -> None:
    """UserError where the baseline of a trial would take away what it is to find: what became of the others."""
    baseline = config.learner(name).credit.baseline
    if config.learner(name).credit.weight_baseline == "critic":
        raise UserError(f"collect=trial has no critic; set credit.weight_baseline=group (or none) for the learner '{name}'.")
    if baseline not in ("batch", "none"):
        raise UserError(
            f"collect=trial needs credit.baseline=batch (or none) for the learner '{name}', not {baseline}: games with the same "
            "learner share what becomes of it, and only games with another one tell whether it was taught well."
        )
    others = [other for other in config.seats if other in config.learner_names and other != name]
    if baseline == "batch" and others and all(config.learner(other).copies == 1 for other in others):
        raise UserError(
            f"collect=trial compares what became of different learners, and '{name}' meets one '{others[0]}' in all its games; "
            f"set learners.{others[0]}.copies to 2 or more, or credit.baseline=none."
        )
