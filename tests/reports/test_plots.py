from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

from detente.games.reading import Anchor
from detente.reports.plots import SERIES, Bar, Bars, Group, Line, Panel, apart, figure, svg
from detente.reports.run import Series

RISING = Series((1, 2, 3), (0.0, 1.0, 2.0), (0.0, 0.5, 1.0), (0.0, 1.5, 3.0))


def test_labels_are_moved_apart_around_their_mean() -> None:
    assert apart([0.0, 5.0], 1.0) == [0.0, 5.0]
    assert apart([0.9, 1.0, 3.0], 0.5) == pytest.approx([0.7, 1.2, 3.0])
    assert apart([1.0, 1.0, 1.6], 1.0) == pytest.approx([0.2, 1.2, 2.2])


def test_a_panel_draws_the_curve_its_range_and_its_anchors() -> None:
    drawn = figure([Panel("k", "K", (Line("run", 0, RISING),), (Anchor("above\nall 9", 9.0),))], 1, {"run": 0})
    axes = drawn.axes[0]
    assert list(axes.lines[0].get_ydata()) == [0.0, 1.0, 2.0]  # type: ignore[arg-type]
    assert axes.collections[0].get_datalim(axes.transData).ymax == 3.0
    assert axes.get_ylim()[1] > 9.0
    assert (axes.get_title("left"), [text.get_text() for text in axes.texts]) == ("K", ["above\nall 9"])


def test_no_label_lies_on_another() -> None:
    close = tuple(Anchor(f"anchor\nnumber {value}", value) for value in (0.9, 1.0, 3.0))
    bars = Bars(
        "b", "B", (Group("always_defect", (Bar(0, 1.0), Bar(1, 0.9)), 0.95), Group("random", (Bar(0, 5.0),), None)), (0.0, 5.0)
    )
    for plot in (Panel("k", "K", (Line("run", 0, RISING),), close), bars):
        drawn = figure([plot], 1)
        drawn.canvas.draw()
        boxes = [text.get_window_extent() for text in drawn.axes[0].texts]
        assert len(boxes) == 3
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_bars_have_the_length_of_their_values() -> None:
    drawn = figure([Bars("b", "B", (Group("random", (Bar(0, 2.5), Bar(1, -1.0)), 2.0),), (-1.0, 2.5))], 1)
    assert [patch.get_width() for patch in drawn.axes[0].patches] == [2.5, -1.0]  # type: ignore[attr-defined]
    assert [text.get_text() for text in drawn.axes[0].texts] == ["2.50", "-1.00"]


def test_bars_have_their_intervals_and_numbers_stand_beside_them() -> None:
    bars = Bars("b", "B", (Group("random", (Bar(0, 2.5, (2.0, 3.0)), Bar(1, 1.0, None)), 2.6),), (0.0, 3.0))
    axes = figure([bars], 1).axes[0]
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[2.0, 3.0], [2.6, 2.6]]
    assert axes.texts[0].get_position()[0] > 3.0
    assert bars.groups[0].values == (2.5, 2.0, 3.0, 1.0, 2.6)


def test_the_svg_takes_its_colours_from_the_page() -> None:
    text = svg(figure([Panel("k", "K", (Line("run", 0, RISING),))], 1), "name")
    assert text.startswith("<svg viewBox=")
    assert "var(--series-0)" in text
    assert SERIES[0] not in text
    assert 'id="name-' in text
    assert "http" not in text


def test_titles_are_broken_where_their_axes_end() -> None:
    titles = [
        "CC: both cooperated",
        "DC: I defected, and they cooperated all along",
        "against a_name_without_a_break_in_forty_letters",
    ]
    panels = [Panel(f"p{i}", title, (Line("run", 0, RISING),), small=True) for i, title in enumerate(titles)]
    drawn = figure(panels, 5, {"run": 0})
    drawn.canvas.draw()
    shown = [axes.get_title("left") for axes in drawn.axes]
    assert [text.replace("\n", " ") for text in shown] == titles
    assert [text.count("\n") for text in shown] == [0, 1, 1]
    title = next(text for text in drawn.findobj(Text) if isinstance(text, Text) and text.get_text() == shown[1])
    assert title.get_window_extent().x1 <= drawn.axes[1].get_window_extent().x1
