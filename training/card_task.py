"""A task in a model card's words: what is asked, of whom, its limits and how to read the answer."""

from __future__ import annotations

from typing import Any

from features.journey import Churn, Cltv, Journey, NextStage, Rule
from features.labels import Task
from training.plots_panel import percent
from training.plots_shap import Importance


def target(task: Task, journey: Journey) -> str:
    """What is predicted, over which horizon, in which unit."""
    days = f"{task.within.total_seconds() / 86_400:g} days from the cutoff"
    if isinstance(task, Churn):
        number = "a" if task.does else "no"
        return f"The probability that a customer has {number} {_quoted([task.event])} event in the {days}."
    if isinstance(task, NextStage):
        stages = ", ".join(cell(name) for name in journey.stage_names)
        return f"The stage of a customer after the {days}, staying included. Stages: {stages}."
    counted = "number" if task.count else "sum of the value"
    margin = f", times a margin of {task.margin:g}" if task.margin != 1 else ""
    unit = "" if task.count else f", in {journey.currency}"
    return f"The {counted} of a customer's {_quoted([task.event])} events in the {days}{margin}{unit}."


def asked(rule: Rule) -> str:
    """Who is eligible."""
    held = _rule(rule)
    return f"customers with {held} before the cutoff" if held else "every customer with an event before the cutoff"


def _rule(rule: Rule) -> str:
    """The rule as what a customer has; empty where it holds for everyone."""
    if rule.all_of is not None:
        return " and ".join(filter(None, map(_rule, rule.all_of)))
    within = f" in the {rule.within.total_seconds() / 86_400:g} days" if rule.within else ""
    if rule.any_of:
        return f"{rule.at_least} or more {_quoted(rule.any_of)} events{within}"
    if rule.none_of:
        number = "no" if rule.at_least == 1 else f"fewer than {rule.at_least}"
        return f"{number} {_quoted(rule.none_of)} events{within}"
    return ""


def limits(task: Task, journey: Journey, about: dict[str, Any]) -> str:
    """Where the model must not be trusted, as a list."""
    found = [
        "The measured numbers and the calibration hold for customers and times like those of the test block; "
        "nothing guarantees them when the world shifts (prices, assortment, seasons not in the data, campaigns).",
        "What moves a prediction is what the model leans on, not a cause: changing it need not change the customer.",
        "The rule it is graded against is the best of several, chosen on the test rows themselves.",
    ]
    if isinstance(task, Cltv):
        found.append(
            f"Intervals are conformal: {percent(task.coverage)} is held on average over customers like those of the "
            "fit, not for each customer, and is no guarantee when the world shifts."
        )
        found.append(f"Value beyond {about['horizon_days']:g} days is not predicted.")
    if isinstance(task, NextStage):
        found.append("Stages that hardly occur in the data get small probabilities that could not be checked.")
    found += [f"Warned of in training: {cell(warning)}." for warning in about.get("warnings", [])]
    if "simulated" in journey.description.lower():
        found.append("The data are simulated, as their description says: the numbers tell nothing of another business.")
    return "\n".join(f"- {line}" for line in found)


def reading(task: Task, journey: Journey, about: dict[str, Any]) -> str:
    """What its numbers mean, as a list."""
    if isinstance(task, Churn):
        bands = journey.risk_bands
        found = [
            _frequency(about),
            f"Risk is medium from {percent(bands.medium)} and high from {percent(bands.high)}.",
        ]
    elif isinstance(task, NextStage):
        found = ["Probabilities add up to 1 over the stages; the likeliest is often below one half: read them all."]
    else:
        found = [
            "The expected value is a mean: many bring less, a few much more. An empty `low`: an upper bound alone."
        ]
        if (share := about["churned_value_share"]) is not None:
            found.append(f"Customers who churn still bring {percent(share)} of what they would have brought.")
    found += [
        "The prediction is the base plus the effects of the reasons plus the other effects, in its own unit.",
        "Grades: A, ahead of the best simple rule by 10 % or more; B, surely ahead; C, perhaps not; D, behind.",
    ]
    return "\n".join(f"- {line}" for line in found)


def _frequency(about: dict[str, Any]) -> str:
    """What a probability of churn stands for, by what was measured."""
    apart = f"{100 * about['metrics']['ece']:.1f} points apart on average over ten groups of equal size (ECE)"
    told = f"On the test block what was predicted and what came true lay {apart}"
    return {
        "came true": f"Of customers given 30 %, about 30 in 100 churn, not a verdict on one customer. {told}.",
        "cannot be told": f"{told}: so few customers cannot tell whether of those given 30 %, about 30 in 100 churn.",
        "did not come true": f"{told}, more than chance explains: of those given 30 %, more or fewer than 30 in 100 "
        "may churn. Lean on the order, not on the level.",
    }[about["frequencies"]]


def _quoted(names: list[str]) -> str:
    return " or ".join(f"'{cell(name)}'" for name in names)


def cell(text: str) -> str:
    """A name on one line that Markdown shows as it is, inside a table too."""
    return "".join(f"\\{c}" if c in "\\|`*_[]<>#" else c for c in " ".join(text.split()))


def in_words(found: Importance) -> str:
    """What moves a part of the prediction most, as a sentence."""
    total = float(found.effects.sum()) or 1.0
    told = []
    for feature, effect, direction in list(zip(found.features, found.effects, found.directions, strict=True))[:3]:
        way = {"raises": ": the higher, the more", "lowers": ": the higher, the less", "mixed": ""}[direction]
        told.append(f"{cell(feature.description)} ({percent(float(effect) / total)} of all effects{way})")
    return f"What moves {found.part} most is {'; then '.join(told)}."


def number(value: float | None) -> str:
    """A metric: three decimals where it is small; a dash where it is not defined."""
    if value is None:
        return "–"
    return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
