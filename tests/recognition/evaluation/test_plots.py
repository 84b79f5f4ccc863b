import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.plotting import save_figure
from recognition.evaluation import plots
from recognition.evaluation.metrics import tar_at_far


def pairs(seed: int, genuine: int = 200, impostor: int = 300) -> plots.Pairs:
    rng = np.random.default_rng(seed)
    return rng.normal(0.6, 0.2, genuine), rng.normal(0, 0.2, impostor)


def test_the_roc_curve_ends_where_the_pairs_support_no_more():
    both = {"a": pairs(0), "b": pairs(1, impostor=1000)}
    (axes,) = plots.roc_figure(both).axes
    assert axes.get_xscale() == "log"
    for line, (genuine, impostor) in zip(axes.lines, both.values(), strict=True):
        x, y = line.get_data()
        assert x[0] == pytest.approx(10 / len(impostor))
        assert (np.diff(x) >= 0).all()
        assert (np.diff(y) >= 0).all()
        assert y[0] == pytest.approx(tar_at_far(genuine, impostor, 10 / len(impostor)))
        assert (x[-1], y[-1]) == (1, 1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_pairs_too_few_for_any_far_leave_the_axes_empty():
    (axes,) = plots.roc_figure({"": pairs(0, impostor=9)}).axes
    assert not axes.lines
    assert axes.get_legend() is None


def test_the_histogram_shows_shares_and_leaves_missed_faces_out():
    genuine, impostor = pairs(2)
    genuine[:3] = -np.inf
    (axes,) = plots.histogram_figure((genuine, impostor), 0.3).axes
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]
    assert heights == pytest.approx([1, 1])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["one person (197 pairs)", "two people (300 pairs)", "threshold 0.30"]


@pytest.mark.parametrize(
    "scores", [(np.zeros(0), np.zeros(0)), (np.zeros(3), np.zeros(1)), (np.full(2, -np.inf),) * 2]
)
def test_similarities_that_do_not_differ_are_drawn_too(scores: plots.Pairs, tmp_path: Path):
    save_figure(plots.verification_figure({"": (scores, 0.0)}), tmp_path / "a.png")


def test_identification_shows_ranks_and_false_alarms(tmp_path: Path):
    curves = {"a": ((0.9, 0.95, 1.0), ((0.01, 0.3), (0.1, 0.2), (1, 0.1))), "b": ((), ())}
    figure = plots.identification_figure(curves)
    ranks, alarms = figure.axes
    assert ranks.lines[0].get_data()[0].tolist() == [1, 2, 3]
    assert alarms.lines[0].get_data()[1].tolist() == [0.3, 0.2, 0.1]
    save_figure(figure, tmp_path / "a.png")
    save_figure(plots.identification_figure({"": ((), ())}), tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > image.height > 500


def test_nothing_goes_through_the_global_state():
    plots.roc_figure({"": pairs(3)})
    assert "matplotlib.pyplot" not in sys.modules


def test_a_figure_is_written_whole_or_not_at_all(tmp_path: Path):
    figure = plots.roc_figure({"": pairs(4)})
    with pytest.raises(OSError, match="No such file"):
        save_figure(figure, tmp_path / "none" / "a.png")
    assert list(tmp_path.iterdir()) == []
