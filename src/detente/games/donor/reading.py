"""How reports read the donor game: what populations of givers end with, to whom a policy gives, and a verdict."""

from __future__ import annotations

from detente.games.donor.rules import Donor
from detente.games.reading import Anchor, Chapter, Column, Condition, Meet, Notes, Plot, Reading, Verdict
from detente.games.references import encounter
from detente.games.splitting.words import number
from detente.records import Round

REFERENCES = ("giver_50", "reciprocal", "selfish")
SELFISH = 0.1  # gives at most this share
GAP = 0.3  # how much more a discriminating donor gives to who gave half or more
CONDITIONS = {"start": "nothing known", "less": "gave less than half last", "more": "gave half or more last"}


def reading(game: Donor, meet: Meet) -> Reading:
    """Of the donor game; populations in which all give the same meet for it."""
    ends = {
        words: encounter(meet, game, name, name) for name, words in (("selfish", "nobody gives"), ("giver_50", "all give half"))
    }
    resources = tuple(Anchor(f"{words} {known['final_resources']:.4g}", known["final_resources"]) for words, known in ends.items())
    rewards = tuple(Anchor(f"{words} {known['reward']:.3g}", known["reward"]) for words, known in ends.items())
    text = "The mean share that it gives away, by what the recipient did the last time that it could give. Dashed: reciprocal."
    columns = tuple(Column(f"donation_given/{treated}", treated, meaning) for treated, meaning in CONDITIONS.items())
    return Reading(
        facts=("reward", "donation", "final_resources", "gini"),
        contrast=("reward", "donation", "final_resources"),
        rivals=("selfish",),
        contrast_rivals=("selfish", "giver_50"),
        given={"donation_given/less": "less", "donation_given/more": "more"},
        given_title="gives to who gave",
        marked="reciprocal",
        anchors=rewards,
        plots=(
            Plot(
                ("donation",),
                "Share given away in self-play",
                (0, 1),
                (Anchor("all", 1), Anchor("half", 0.5), Anchor("nothing", 0)),
            ),
            Plot(("final_resources",), "Resources in the end in self-play", anchors=resources),
            Plot(("reward",), "Points per round in self-play", anchors=rewards),
            Plot(("gini",), "Gini coefficient of the resources in the end", (0, 1)),
        ),
        chapters=(Chapter("donations", "To whom it gives", text, "Mean share given at the end", columns, across=3),),
        note=", ".join(
            f"{words} {known['reward']:.2f} ({known['final_resources']:.2f} units in the end)" for words, known in ends.items()
        ),
        verdicts=(
            Verdict("selfish", f"gives at most {SELFISH:g} in self-play", (Condition("self_play/donation", most=SELFISH),)),
            Verdict(
                "gives to givers",
                f"gives at least {GAP + SELFISH:g} to who gave half or more, at most {SELFISH:g} to who gave less",
                (Condition("given/donation_given/more", least=GAP + SELFISH), Condition("given/donation_given/less", most=SELFISH)),
            ),
            Verdict("gives", f"gives more than {SELFISH:g} in self-play, whatever the recipient did, or as far as was seen"),
        ),
    )


def notes(game: Donor, played: Round) -> Notes:
    """Who met whom with how much."""
    recipients, before = dict(played.info["pairs"]), played.info["before"]
    held = tuple(
        f"{number(had)} units, meets player {recipients[seat] + 1}" if seat in recipients else f"{number(had)} units"
        for seat, had in enumerate(before)
    )
    return Notes(stock="", held=held, received=())  # its points are what a donor pays


def outcome(game: Donor, played: Round, player: int, seed: int) -> str:
    """What a player gave or received."""
    given = {turn.player: turn.action for turn in played.turns}
    if player in given:
        return f"you gave {given[player]}%" if given[player] >= 0 else f"you punished with {-given[player]}%"
    reward = played.rewards[player]
    return f"you received {number(reward)} units" if reward >= 0 else f"you lost {number(-reward)} units"
