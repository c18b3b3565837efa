"""The model card: what a model predicts, how well, and where it must not be trusted, in Markdown."""

from __future__ import annotations

from typing import Any

from features.feature import REASONS
from features.journey import Journey
from features.labels import tasks
from training.card_json import calibration
from training.card_segments import MEANS, mean, segment_tables
from training.card_task import asked, cell, in_words, limits, number, reading, table, target
from training.plots_panel import percent
from training.plots_shap import Importance, importances
from training.train import Trained

_METRICS = {
    "roc_auc": ("ROC AUC", "chance that a churner ranks above a customer who stays; higher is better"),
    "pr_auc": ("PR AUC", "average precision; higher is better, the base rate is that of chance"),
    "log_loss": ("log loss", "lower is better; what the grade of probabilities is measured by"),
    "brier": ("Brier score", "mean squared error of the probability; lower is better"),
    "ece": ("ECE", "mean distance of predicted and true frequency over ten groups; lower is better"),
    "top_decile_lift": ("lift of the top tenth", "times as many churners in it as among all; higher is better"),
    "profit": (
        "profit",
        "per customer asked about, of contacting whom a contact is expected to pay; higher is better",
    ),
    "profit_best_cut": (
        "profit at the best cut",
        "the list cut where it turned out to pay most; higher is better",
    ),
    "accuracy": ("accuracy", "share whose likeliest stage was reached; higher is better"),
    "top_2": ("top 2", "share that reached one of the two likeliest stages; higher is better"),
    "macro_f1": ("macro F1", "balance over the stages, rare ones too; higher is better"),
    "mae": ("MAE", "mean absolute error; lower is better"),
    "rmse": ("RMSE", "root of the mean squared error; lower is better"),
    "bias": ("bias", "expected total against the realised one, less 1; nearest 0 is best"),
    "spearman": ("Spearman", "rank correlation; higher is better"),
    "gini": ("Gini", "ranking by value, 1 for the true order; higher is better"),
    "top_10_share": ("value in the top 10 %", "share of all value among those ranked highest; higher is better"),
    "top_20_share": ("value in the top 20 %", "the same of a fifth; higher is better"),
    "tweedie_deviance": ("Tweedie deviance", "lower is better; what the grade of values is measured by"),
}
_BLOCKS = {
    "trees": "growing the trees",
    "stop": "deciding how many trees",
    "calibrate": "calibration and intervals",
    "test": "the numbers of this card",
}
_BASES = {"churn": "Churned", "next_stage": "Changed stage", "cltv": "Brought on average"}
_FEATURES_TOLD = 3  # per reason code: its strongest
_NEGLIGIBLE = 0.005  # share of all effects below which a reason code is only named


def card(trained: Trained, parts: list[Importance] | None = None) -> str:
    """The card of the model to be served; its numbers are those of the judged twin.

    `parts` are the importances of that twin, where they are known already.
    """
    about = trained.model.about
    journey = Journey.model_validate(about["journey"])
    task = tasks(journey)[trained.task]
    sections = (
        f"# {cell(journey.journey)}.{trained.task}",
        f"**Grade {cell(about['grade']['words'])}**",
        f"## What it predicts\n\n{target(task, journey)}\n\nAsked of {asked(task.eligibility)}.",
        f"## Data\n\n{_data(about, journey, trained.task)}",
        f"## Measured beside simple rules\n\n{_measured(trained)}",
        f"## Predicted and true\n\n{_calibration(trained)}",
        f"## Where it is worse\n\n{segment_tables(trained)}",
        f"## Time blocks\n\n{_blocks(about)}",
        f"## What moves it\n\n{_reasons(parts or importances(trained))}",
        f"## Limits\n\n{limits(task, journey, about)}",
        f"## How to read it\n\n{reading(task, journey, about)}",
    )
    return "\n\n".join(sections) + "\n"


def _data(about: dict[str, Any], journey: Journey, task: str) -> str:
    log, told = about["log"], f"{cell(journey.description).rstrip('.')}.\n\n" if journey.description else ""
    return (
        f"{told}{log['rows']:,} events from {log['first']} to {log['last']} (digest `{log['digest'][:12]}`), "
        f"{about['customers']:,} customers at {len(about['cutoffs'])} cutoffs: {about['rows']:,} examples. "
        f"Features: digest `{about['features'][:12]}`.\n\n{_bases(about, task)}"
    )


def _bases(about: dict[str, Any], task: str) -> str:
    """How many were asked about and what came of them, from cutoff to cutoff."""
    found, newest = about["by_cutoff"], about["by_cutoff"][-1]
    sizes, bases = sorted(one["customers"] for one in found), sorted(one["base"] for one in found)
    first, last = mean(task, bases[0]), mean(task, bases[-1])
    return (
        f"{sizes[0]:,} to {sizes[-1]:,} customers were asked about at a cutoff, {newest['customers']:,} at the newest. "
        f"{_BASES[task]}: {first} to {last}, {mean(task, newest['base'])} at the newest."
    )


def _measured(trained: Trained) -> str:
    about = trained.model.about
    metrics, rules = about["metrics"], about["rules"]
    shown = [name for name in _METRICS if name in metrics]
    header = ["", *(_METRICS[name][0] for name in shown)]
    rows = [["**this model**", *(number(metrics[name]) for name in shown)]]
    rows += [[cell(rule), *(number(found.get(name)) for name in shown)] for rule, found in rules.items()]
    size = (
        f"{len(trained.assessment.labels):,} rows of the test block; each rule was fitted on all rows before it "
        "and on the calibrator's alone, and answers by the better fit."
    )
    meaning = "\n".join(f"- {_METRICS[name][0]}: {_METRICS[name][1]}" for name in shown)
    return f"{size}\n\n{table(header, rows)}\n\n{meaning}{_coverage(about)}{_stake(about)}"


def _coverage(about: dict[str, Any]) -> str:
    metrics, intervals = about["metrics"], about["intervals"]
    if intervals is None or metrics.get("coverage") is None:
        return ""
    fifths = [metrics[f"coverage_fifth_{number}"] for number in range(1, 6)]
    told = ", ".join("unknown" if share is None else percent(share) for share in fifths)
    return (
        f"\n\nIntervals state {percent(intervals['coverage'])} and held {percent(metrics['coverage'])} of the values; "
        f"by fifths of the expected value, lowest first: {told}. Their mean width is {metrics['mean_width']:,.1f}."
    )


def _stake(about: dict[str, Any]) -> str:
    if about["stake"] is None:
        return ""
    costs, currency = about["journey"]["campaign"], cell(about["journey"]["currency"])
    return (
        f"\n\nThe profit is in {currency}, at the journey's costs: {costs['contact_cost']:g} a contact, "
        f"{costs['incentive_cost']:g} an incentive, an accept rate of {percent(costs['accept_rate'])}, and "
        f"{about['stake']:,.2f} at stake on average. A customer's own is what those who stayed and had spent alike "
        "brought, less the share of it that churners brought all the same; no value model has a say in it."
    )


def _blocks(about: dict[str, Any]) -> str:
    rows = []
    for name, purpose in _BLOCKS.items():
        cutoffs = about["blocks"][name]
        rows.append([name, purpose, str(len(cutoffs)), cutoffs[0], cutoffs[-1]])
    shared = (
        "\n\nThe history is too short for four blocks: `stop` and `calibrate` are the same cutoffs, "
        "and each half of the customers stops the trees for the other."
    )
    return (
        table(["block", "for", "cutoffs", "first", "last"], rows)
        + f"\n\nA horizon of {about['horizon_days']:g} days lies between blocks: no label reaches into the next one."
        + (shared if about["blocks"]["shared"] else "")
        + f"\n\nThe served model was refitted with the same settings on all {len(about['cutoffs'])} cutoffs, "
        f"{about['cutoffs'][0]} to {about['cutoffs'][-1]}; the numbers here are those of its twin "
        "that never saw the test block."
    )


def _calibration(trained: Trained) -> str:
    """The groups of the calibration plot as a table too: a card is read where pictures are not."""
    file = "deciles.png" if trained.task == "cltv" else "calibration.png"
    said, came = MEANS[trained.task]
    groups = calibration(trained)
    rows = [
        [str(n), str(group["rows"]), mean(trained.task, group["predicted"]), mean(trained.task, group["true"])]
        for n, group in enumerate(groups, 1)
    ]
    tuned = f" {cell(trained.model.about['tuning'])}." if trained.model.about["tuning"] else ""
    intro = f"![predicted and true]({file})\n\nTen groups of equal size, the lowest prediction first.{tuned}"
    return f"{intro}\n\n{table(['group', 'rows', said, came], rows)}"


def _reasons(parts: list[Importance]) -> str:
    told = []
    for found in parts:
        told.append(in_words(found))
        title = f"Share of the effect on {found.part} (mean |SHAP value| in {found.unit}, summed over features)"
        told.append(f"{title}, {found.rows:,} rows of the test block:\n\n{_by_code(found)}")
    return "\n\n".join(told)


def _by_code(found: Importance) -> str:
    codes: dict[str, list[int]] = {}
    for place, feature in enumerate(found.features):
        codes.setdefault(feature.reason, []).append(place)
    total = float(found.effects.sum()) or 1.0
    shares = {code: float(found.effects[numbers].sum()) / total for code, numbers in codes.items()}
    rows, rest = [], []
    for code, share in sorted(shares.items(), key=lambda pair: -pair[1]):
        if share < _NEGLIGIBLE:
            rest.append(code)
            continue
        strongest = "; ".join(cell(found.features[n].description) for n in codes[code][:_FEATURES_TOLD])
        rows.append([code, REASONS[code], percent(share), strongest])
    told = table(["reason code", "which is", "share", "its strongest features"], rows)
    return told + (f"\n\nUnder half a percent: {', '.join(rest)}." if rest else "")
