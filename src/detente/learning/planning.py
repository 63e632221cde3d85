"""What a curriculum has the groups of an iteration play, and what it remembers of them.

    Curriculum, pool ── planned ──> what each group plays ── rollout ──> episodes ── group_results ──> remembered ──> Curriculum

Everything follows from the seed, the iteration and the state of the run. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from detente import rotation
from detente.config import Config
from detente.copies import all_learners
from detente.errors import UserError
from detente.games.base import Game
from detente.games.family import seats_for
from detente.learning.curriculum import (
    EVERYBODY,
    PRESENT,
    Chosen,
    Curriculum,
    Scored,
    Setting,
    averaged_loss,
    drawn,
    loss_weights,
    regret_weights,
    replay_weights,
    scored,
)
from detente.learning.opponents import focal_seat
from detente.learning.regret import lost_share, regret
from detente.learning.variation import fresh_setting, game_at
from detente.records import Episode, PolicyRef
from detente.seeding import stream

KEPT = "kept"  # the name of all kept versions in metrics
Versions = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a group: the learner's regret in points per round, and the share of episodes in which it had fewer points."""

    chosen: Chosen
    regret: float
    lost: float


def planned(config: Config, curriculum: Curriculum, iteration: int, kept: Versions, game: Game) -> tuple[Chosen, ...]:
    """What each group of an iteration plays, counted from 0; () without a curriculum. ``kept``: the learner's kept versions."""
    if config.curriculum.method == "none":
        return ()
    versions = _loaded(config, iteration, kept)

    def chosen(group: int) -> Chosen:
        names = rotation.drawn(config, game.num_players, iteration, group)
        seat = focal_seat(config, names, group + iteration)
        return _chosen(config, curriculum, iteration, group, co_players(config, names, seat, versions, game))

    return tuple(chosen(group) for group in range(config.episodes // config.group_size))


def co_players(config: Config, names: Sequence[str], seat: int, kept: Sequence[PolicyRef], game: Game) -> list[PolicyRef | None]:
    """Who can play against the learner on a seat, where these names sit: scripts and kept versions where they have a share, and
    where a share is left the present versions (None)."""
    options = config.opponents
    others = [other for other, name in enumerate(names) if other != seat and name in config.learner_names]
    able = [name for name in dict.fromkeys(options.scripts) if {*others} <= {*seats_for(game, name)}]
    scripts = [PolicyRef("script", name) for name in able] if options.scripted else []
    known: list[PolicyRef | None] = [*scripts, *(kept if options.kept else ())] if others else []
    return known if known and options.kept + options.scripted >= 1 else [*known, None]


def settings(plan: Sequence[Chosen]) -> dict[int, Setting]:
    """The setting of each group."""
    return {group: chosen.setting for group, chosen in enumerate(plan)}


def group_results(config: Config, iteration: int, plan: Sequence[Chosen], episodes: Sequence[Episode]) -> list[Result]:
    """What came of each group of an iteration; [] without a curriculum."""
    played: dict[int, list[Episode]] = {}
    for episode in (e for e in episodes if plan and e.alternative_to is None):
        played.setdefault(episode.group, []).append(episode)

    def result(group: int) -> Result:
        chosen, players = plan[group], played[group][0].num_players
        seat = focal_seat(config, rotation.drawn(config, players, iteration, group), group + iteration)
        game = game_at(config, iteration, group, chosen.setting)
        return Result(chosen, regret(game, played[group], seat), lost_share(played[group], seat))

    return [result(group) for group in sorted(played)]


def remembered(config: Config, curriculum: Curriculum, played: Sequence[Result], kept: Versions) -> Curriculum:
    """What the curriculum remembers after these groups; nothing of versions that are no longer kept."""
    options = config.curriculum
    buffers, lost = dict(curriculum.buffers), dict(curriculum.lost)
    for result in played:
        name = EVERYBODY if options.method == "plr" else result.chosen.name
        if options.replays:
            buffers[name] = scored(buffers.get(name, ()), Scored(result.chosen.setting, result.regret), options.buffer)
        if options.method == "pfsp":
            lost[name] = averaged_loss(lost.get(name), result.lost)
    stay = {EVERYBODY, PRESENT, *config.opponents.scripts, *map(str, _versions(kept))}
    return Curriculum(
        {name: buffer for name, buffer in buffers.items() if name in stay},
        {name: share for name, share in lost.items() if name in stay},
    )


def curriculum_metrics(config: Config, played: Sequence[Result]) -> dict[str, float]:
    """The mean regret of the groups of an iteration, the share of settings that were new and not trained on, by co-player the
    share of groups and, where there are any, their regret (kept versions together), and of each number that varies the mean over
    the groups that were trained on."""
    if not played:
        return {}
    metrics = {"curriculum/regret": fmean(r.regret for r in played), "curriculum/fresh": fmean(r.chosen.fresh for r in played)}
    options = config.opponents
    possible = [*(options.scripts if options.scripted else ()), *([KEPT] if options.kept else [])]
    possible += [PRESENT] if options.kept + options.scripted < 1 else []
    for name in dict.fromkeys((*possible, *map(_shown, played))):
        regrets = [result.regret for result in played if _shown(result) == name]
        metrics[f"curriculum/share/{name}"] = len(regrets) / len(played)
        metrics |= {f"curriculum/regret/{name}": fmean(regrets)} if regrets else {}
    trained = [result.chosen.setting for result in played if not result.chosen.fresh]
    for name in trained[0] if trained else ():
        values = [setting[name] for setting in trained]
        metrics |= {f"curriculum/trained/{name}": fmean(values)} if all(type(v) in (int, float) for v in values) else {}
    return metrics


def check_curriculum(config: Config) -> None:
    """UserError for a curriculum that has nothing to choose, or that does not go with other options."""
    options = config.curriculum
    if options.method == "none":
        return
    what, opponents = f"curriculum={options.method}", config.opponents
    settings_vary = any(variation.stages is None for variation in config.vary.values())
    opposite = sum(name in config.learner_names for name in config.seats) > 1 and opponents.kept + opponents.scripted > 0
    more = {
        "settings": "let a parameter of the game vary by choices or a range, e.g. vary.rounds.choices=[5,10,20]",
        "opponents": "name some, e.g. opponents.scripted=1 opponents.scripts=[tit_for_tat,always_defect]",
    }
    if not settings_vary and options.method == "plr":
        raise UserError(f"{what} chooses among settings of the game, and there is one; {more['settings']}.")
    if not opposite and options.method == "pfsp":
        raise UserError(f"{what} chooses among opponents of two seats that learn, and there are none; {more['opponents']}.")
    if not settings_vary and not opposite:
        raise UserError(
            f"{what} chooses among settings of the game and opponents, and there is one setting and no opponent; "
            f"{more['settings']}, or {more['opponents']}."
        )
    if len(learners := all_learners(config)) > 1:
        raise UserError(f"{what} follows one learner, and here are {', '.join(learners)}; let one learn, without copies.")
    learner = config.learner(config.learner_names[0])
    if learner.collect == "trial" or learner.briefing != "none":
        wrong = "collect=trial" if learner.collect == "trial" else "a briefing"
        raise UserError(f"{wrong} has the learner play on with the same others, whom {what} changes; leave one of them out.")


def _chosen(config: Config, curriculum: Curriculum, iteration: int, group: int, able: Sequence[PolicyRef | None]) -> Chosen:
    options, rng = config.curriculum, stream(config.seed, "curriculum", iteration, group)
    names = [Chosen({}, player).name for player in able]
    weights = [1 / len(able)] * len(able)
    if options.method == "maestro":
        weights = regret_weights(curriculum.buffers, names, options.spread)
    elif options.method == "pfsp":
        weights = loss_weights(curriculum.lost, names, options.spread)
    number = drawn(weights, rng)
    buffer = curriculum.buffers.get(EVERYBODY if options.method == "plr" else names[number], ())
    if buffer and rng.random() < options.replay:
        return Chosen(buffer[drawn(replay_weights(len(buffer)), rng)].setting, able[number])
    return Chosen(fresh_setting(config, iteration, group), able[number], fresh=options.replays)


def _loaded(config: Config, iteration: int, kept: Versions) -> list[PolicyRef]:
    """The kept versions that can take part in an iteration."""
    versions = _versions(kept)
    most = min(config.opponents.max_loaded, len(versions))
    return stream(config.seed, "curriculum", iteration).sample(versions, most)


def _versions(kept: Versions) -> list[PolicyRef]:
    return [PolicyRef("adapter", name, version) for name, versions in kept.items() for version in versions]


def _shown(result: Result) -> str:
    """The co-player's name in metrics."""
    player = result.chosen.co_player
    return KEPT if player is not None and player.kind == "adapter" else result.chosen.name
