"""Plots of trained tasks: what the figures hold, and that every name can be drawn."""

from __future__ import annotations

import io

import bazaar
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from training.metrics import equal_mass_bins
from training.plots import figures
from training.plots_judgement import calibration, confusion, deciles, intervals, lift_and_gains
from training.plots_panel import legible, wilson
from training.plots_shap import TOP, importances
from training.train import Trained

FILES = {
    "churn": {"calibration.png", "lift_and_gains.png", "shap_summary.png"},
    "next_stage": {"calibration.png", "confusion.png", "shap_summary.png"},
    "cltv": {"deciles.png", "intervals.png", "shap_summary.png"},
}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Trained]:
    return bazaar.trained()


@pytest.fixture(scope="module")
def drawn(tasks: dict[str, Trained]) -> dict[str, dict[str, Figure]]:
    return {task: figures(found) for task, found in tasks.items()}


def _points(axes: Axes) -> list[list[tuple[float, float]]]:
    """The points of every line that has dots."""
    dotted = [line for line in axes.lines if line.get_marker() == "o"]
    return [list(zip(np.asarray(li.get_xdata()), np.asarray(li.get_ydata()), strict=True)) for li in dotted]


def _heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches]


def _said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("task", FILES)
def test_each_task_has_its_figures(task: str, drawn: dict[str, dict[str, Figure]]) -> None:
    assert set(drawn[task]) == FILES[task]


@pytest.mark.parametrize("task", FILES)
def test_names_of_any_script_are_drawn_without_a_warning(task: str, drawn: dict[str, dict[str, Figure]]) -> None:
    for figure in drawn[task].values():
        file = io.BytesIO()
        figure.savefig(file, format="png")
        assert file.getvalue().startswith(b"\x89PNG")


def test_no_figure_is_kept_by_pyplot(drawn: dict[str, dict[str, Figure]]) -> None:
    assert sum(map(len, drawn.values())) == 9
    kept = {manager.canvas.figure for manager in Gcf.get_all_fig_managers()}  # other tests may have drawn with pyplot
    assert not kept & {figure for found in drawn.values() for figure in found.values()}


def test_the_dots_of_the_calibration_are_the_groups_that_ece_is_made_of(
    tasks: dict[str, Trained], drawn: dict[str, dict[str, Figure]]
) -> None:
    found = tasks["churn"].assessment
    groups = equal_mass_bins(found.labels, found.predicted)
    (points,) = _points(drawn["churn"]["calibration.png"].axes[0])
    assert points == list(zip(groups["predicted"], groups["true"], strict=True))
    assert f"on average {100 * found.metrics['ece']:.1f} % off" in _said(drawn["churn"]["calibration.png"])


def test_the_calibration_of_the_next_stage_is_that_of_the_likeliest_stage(
    tasks: dict[str, Trained], drawn: dict[str, dict[str, Figure]]
) -> None:
    found = tasks["next_stage"].assessment
    (points,) = _points(drawn["next_stage"]["calibration.png"].axes[0])
    assert points[0][0] >= 1 / 3
    ranked = np.sort(found.predicted.max(axis=1), kind="stable")
    assert points[-1][0] == pytest.approx(np.array_split(ranked, 10)[-1].mean())


def test_gains_end_at_all_churners_and_lift_begins_with_the_top_tenth(
    tasks: dict[str, Trained], drawn: dict[str, dict[str, Figure]]
) -> None:
    left, right = drawn["churn"]["lift_and_gains.png"].axes
    gains = next(np.asarray(line.get_ydata()) for line in left.lines if line.get_linewidth() == 2)
    assert gains[0] == 0
    assert gains[-1] == pytest.approx(1)
    assert np.all(np.diff(gains) >= 0)
    found = tasks["churn"].assessment
    groups = equal_mass_bins(found.labels, found.predicted)
    assert _heights(right) == pytest.approx((groups["true"] / found.labels.mean()).to_list()[::-1])


def test_four_customers_ranked_perfectly_are_reached_by_half_the_list() -> None:
    left, right = lift_and_gains(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.2, 0.8, 0.1])).axes
    gains = next(np.asarray(line.get_ydata()) for line in left.lines if line.get_linewidth() == 2)
    assert gains.tolist() == [0, 0.5, 1, 1, 1]
    assert _heights(right) == [2, 2, 0, 0]


def test_customers_with_equal_probabilities_gain_what_chance_gives() -> None:
    left = lift_and_gains(np.array([1.0, 1.0, 0.0, 0.0]), np.full(4, 0.3)).axes[0]
    gains = next(np.asarray(line.get_ydata()) for line in left.lines if line.get_linewidth() == 2)
    assert gains.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_test_block_without_churners_still_draws() -> None:
    figure = lift_and_gains(np.zeros(20), np.linspace(0.1, 0.2, 20))
    figure.savefig(io.BytesIO())
    assert "0 of them of churners" in _said(figure)
    assert np.isnan(_heights(figure.axes[1])).all()


def test_confusion_counts_rows_by_the_stage_reached() -> None:
    predicted = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    axes = confusion(["new", "loyal"], np.array([0.0, 0.0, 1.0, 1.0]), predicted).axes[0]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[1, 0], [0.5, 0.5]]
    assert [text.get_text() for text in axes.texts] == ["100 %\n2", "50 %\n1", "50 %\n1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["new (2)", "loyal (2)"]


def test_many_stages_are_coloured_without_numbers() -> None:
    stages = [f"stage {number}" for number in range(30)]
    figure = confusion(stages, np.arange(30.0), np.eye(30))
    assert not figure.axes[0].texts
    figure.savefig(io.BytesIO())


def test_deciles_put_realised_bars_under_expected_dots(
    tasks: dict[str, Trained], drawn: dict[str, dict[str, Figure]]
) -> None:
    found, axes = tasks["cltv"].assessment, drawn["cltv"]["deciles.png"].axes[0]
    groups = equal_mass_bins(found.labels, found.predicted)
    assert _heights(axes) == groups["true"].to_list()
    assert [y for _, y in _points(axes)[0]] == groups["predicted"].to_list()
    assert axes.get_ylabel() == "JPY per customer in 56 days"


def test_values_below_zero_are_drawn_too() -> None:
    axes = deciles(np.array([-5.0, 10.0]), np.array([1.0, 9.0]), "USD", 56).axes[0]
    assert _heights(axes) == [-5, 10]


def test_intervals_show_the_coverage_of_each_fifth_beside_the_stated_one(
    tasks: dict[str, Trained], drawn: dict[str, dict[str, Figure]]
) -> None:
    metrics, axes = tasks["cltv"].assessment.metrics, drawn["cltv"]["intervals.png"].axes[0]
    assert [y for _, y in _points(axes)[0]] == [metrics[f"coverage_fifth_{n}"] for n in range(1, 6)]
    assert "stated: 80 %" in _said(axes.figure)  # type: ignore[arg-type]


def test_a_fifth_without_customers_is_left_out() -> None:
    figure = intervals(np.array([1.0, 0.0, np.nan, np.nan, np.nan]), 0.8, np.array([1.0, 2.0]), "USD")
    figure.savefig(io.BytesIO())
    assert "nobody" in _said(figure)


@pytest.mark.parametrize(("task", "parts"), [("churn", 1), ("next_stage", 1), ("cltv", 2)])
def test_bars_are_the_mean_absolute_shap_values_of_the_strongest_features(
    task: str, parts: int, tasks: dict[str, Trained], drawn: dict[str, dict[str, Figure]]
) -> None:
    trained = tasks[task]
    matrix = trained.judged.encoding.matrix(trained.test_rows)
    values = np.abs(trained.judged.contributions(matrix)[0]).mean(axis=0)
    wanted = values if task == "cltv" else values.sum(axis=0, keepdims=True)
    axes = drawn[task]["shap_summary.png"].axes
    assert len(axes) == parts
    for part, found in zip(wanted, axes, strict=True):
        widths = [bar.get_width() for bar in found.patches]
        assert widths == pytest.approx(np.sort(part)[::-1][:TOP].tolist())


def test_bars_are_told_by_the_descriptions_of_their_features(
    tasks: dict[str, Trained], drawn: dict[str, dict[str, Figure]]
) -> None:
    (found,) = importances(tasks["churn"])
    labels = [label.get_text() for label in drawn["churn"]["shap_summary.png"].axes[0].get_yticklabels()]
    assert labels == [legible(feature.description) for feature in found.features[:TOP]]
    assert sorted(f.name for f in found.features) == sorted(tasks["churn"].judged.encoding.names)


def test_a_character_no_font_has_is_told_by_its_code_point() -> None:
    assert legible("caf\u00e9 \U0001f389") == "café U+1F389"


def test_lines_and_long_names_fit_into_a_label() -> None:
    assert legible("two\nlines") == "two lines"
    assert legible("word " * 40).endswith(" …")
    assert legible("w" * 200) == "w" * 75
    assert legible("") == ""


@settings(max_examples=20)
@given(st.text(max_size=20))
def test_any_text_can_be_drawn(text: str) -> None:
    figure = calibration(text, np.array([0.0, 1.0]), np.array([0.2, 0.9]), text, text)
    figure.savefig(io.BytesIO())


def test_the_interval_of_a_share_holds_it_and_stays_within_zero_and_one() -> None:
    low, high = wilson([0.0, 0.5, 1.0], [10, 10, 10])
    assert low[0] == 0
    assert high[2] == 1
    assert (round(float(low[1]), 4), round(float(high[1]), 4)) == (0.2366, 0.7634)
