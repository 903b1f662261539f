"""Every function draws the given numbers into the given axes."""

import dataclasses
import warnings
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

import mpnas_kit as mk
from mpnas_kit import plots
from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.similarity import jaccard_matrix
from mpnas_kit.analysis.spread import PathSpread
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style
from mpnas_kit.plots.similarity import clustered
from mpnas_kit.plots.spread import path_spread
from mpnas_kit.plots.style import TRANSPARENT
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.training.result import TrainResult


def legend(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.get_legend().get_texts()]


def drawn(ax: Axes, name: str) -> tuple[np.ndarray, np.ndarray]:
    (line,) = (x for x in ax.lines if x.get_label() == name)
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def bars(ax: Axes) -> list[float]:
    return [float(p.get_width()) for c in ax.containers if hasattr(c, "patches") for p in c.patches]


def test_all_take_and_return_axes(found: SearchResult, trained: TrainResult) -> None:
    similarity = jaccard_matrix(found.space, found.paths, pairs=20)
    accounting = account(trained.net, found.paths)
    draws: list[Callable[[Axes | None], Axes]] = [
        lambda ax: plots.path_graph(found.space, found.paths, ax=ax),
        lambda ax: plots.jaccard(similarity, ax),
        lambda ax: plots.search_curves(found, "loss", ax),
        lambda ax: plots.training_curves(trained, "loss", ax),
        lambda ax: plots.accuracy_dots(trained, ax),
        lambda ax: plots.cost_bars(found, ax),
        lambda ax: plots.size_bars(accounting, ax),
        lambda ax: plots.policy_heatmap(found, "a", ax),
        lambda ax: plots.policy_over_time(found, "a", "1.2", ax),
    ]
    for draw in draws:
        plt.close("all")
        with plt.rc_context(TRANSPARENT):
            figure, ax = plt.subplots()
            assert draw(ax) is ax
            assert plt.get_fignums() == [figure.number]
            assert ax.get_title()
            figure.canvas.draw()
            own = draw(None)
            assert own.figure is not figure


def test_jaccard_draws_every_pair_once_beside_chance(found: SearchResult) -> None:
    similarity = jaccard_matrix(found.space, found.paths, pairs=20)
    chance = similarity.matched_value
    ax = plots.jaccard(similarity)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "c"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b"]
    pairs = [similarity.matrix.loc[x, y] for x, y in (("b", "a"), ("c", "a"), ("c", "b"))]
    assert [t.get_text() for t in ax.texts] == [f"{v:.2f}" for v in pairs], "no diagonal"
    far = [abs(v - chance) > similarity.matched_spread for v in pairs]
    assert [t.get_fontweight() == "bold" for t in ax.texts] == far
    mesh = ax.collections[0]
    low, high = mesh.get_clim()
    assert (low + high) / 2 == pytest.approx(chance), "the middle colour is chance"
    assert high - chance >= max(abs(v - chance) for v in pairs)
    ticks = [t.get_text() for t in mesh.colorbar.ax.get_yticklabels()]
    assert f"{chance:.2f} chance" in ticks
    assert f"random paths of the same costs {chance:.2f}" in ax.get_title()


def test_jaccard_of_one_and_of_many_domains(found: SearchResult) -> None:
    paths = found.paths
    alone = plots.jaccard(jaccard_matrix(found.space, {"a": paths["a"]}, pairs=5))
    assert [t.get_text() for t in alone.texts] == ["a is the only domain."]
    many = {f"d{i}": paths["abc"[i % 3]] for i in range(24)}
    ax = plots.jaccard(jaccard_matrix(found.space, many, pairs=5))
    assert not ax.texts and len(ax.get_yticklabels()) == 23


def test_jaccard_clustered_puts_equal_paths_side_by_side(found: SearchResult) -> None:
    similarity = jaccard_matrix(found.space, found.paths, pairs=20)  # a and c are equal
    order = clustered(similarity)
    assert sorted(order) == ["a", "b", "c"]
    assert abs(order.index("a") - order.index("c")) == 1
    ax = plots.jaccard(similarity, cluster=True)
    assert [t.get_text() for t in ax.get_yticklabels()] == order[1:]
    assert [t.get_text() for t in ax.get_xticklabels()] == order[:-1]


def test_search_curves(found: SearchResult) -> None:
    ax = plots.search_curves(found, "loss", window=1)
    for i, domain in enumerate("abc"):
        steps, values = drawn(ax, domain)
        np.testing.assert_array_equal(steps, np.arange(1, 51))
        np.testing.assert_allclose(values, 2 / steps + i)
    assert legend(ax) == ["a", "b", "c"]
    assert ax.get_ylabel() == "loss (nats)"


def test_search_curves_smooth_the_raw_values(found: SearchResult) -> None:
    ax = plots.search_curves(found, "cost", domains=["b"], window=3)
    steps, values = drawn(ax, "b")
    np.testing.assert_array_equal(steps, np.arange(11, 51))  # controllers learn from step 11 on
    np.testing.assert_allclose(values[1:-1], 1000 * steps[1:-1])
    assert values[0] == pytest.approx(11_500)
    raw = drawn(ax, "_measured")[1]
    np.testing.assert_allclose(raw, 1000 * steps)
    assert drawn(ax, "target")[1][0] == 10_000
    assert legend(ax) == ["b", "target"]
    assert "multiply-adds" in ax.get_ylabel()


def test_training_curves(trained: TrainResult) -> None:
    ax = plots.training_curves(trained, "val_accuracy")
    steps, values = drawn(ax, "c")
    np.testing.assert_array_equal(steps, [25, 50])
    np.testing.assert_allclose(values, 0.4)
    ax.figure.canvas.draw()
    assert all(t.get_text().endswith("%") for t in ax.get_yticklabels())


def test_curves_refuse(found: SearchResult, trained: TrainResult) -> None:
    with pytest.raises(MpnasError, match="unknown metric of a search 'reward_'.*'reward'"):
        plots.search_curves(found, "reward_")
    with pytest.raises(MpnasError, match="'weight' was not measured"):
        plots.training_curves(trained, "weight")
    with pytest.raises(MpnasError, match="unknown domain 'z'"):
        plots.search_curves(found, "loss", domains=["z"])
    with pytest.raises(MpnasError, match="window must be at least 1"):
        plots.search_curves(found, "loss", window=0)


def test_accuracy_dots(trained: TrainResult) -> None:
    assert "largest class" not in plots.accuracy_dots(trained).get_title(), "no classes are known"
    trained.recalls = pd.DataFrame(
        [
            {"domain": d, "split": "test", "label": str(k), "images": n, "recall": 0.5}
            for d, largest in {"a": 40, "b": 30, "c": 20}.items()
            for k, n in enumerate((largest, 20, 80 - largest, 0))
        ]
    )
    ax = plots.accuracy_dots(trained)
    dots = {x.get_label(): x.get_xdata()[0] for x in ax.lines if x.get_label() in ("a", "b", "c")}
    assert dots == pytest.approx({"a": 0.9, "b": 0.7, "c": 0.5})
    guesses = [x.get_xdata()[0] for x in ax.lines if to_hex(x.get_color()) == style.GREY]
    assert guesses == [0.4, 0.5, 0.6]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in ax.texts] == ["90.0%", "70.0%", "50.0%"]
    assert "mean 70.0%" in ax.get_title() and "largest class" in ax.get_title()
    np.testing.assert_allclose(ax.collections[2].get_segments()[0][:, 0], [0.45, 0.55])
    with pytest.raises(MpnasError, match="unknown split 'tets': did you mean 'test'"):
        plots.accuracy_dots(trained, split="tets")


def test_a_domain_has_one_colour_in_all_figures(found: SearchResult, trained: TrainResult) -> None:
    expected = plots.domain_colors(list("abc"))

    def colors(ax: Axes) -> dict[str, str]:
        lines = [x for x in ax.lines if x.get_label() in expected]
        return {str(x.get_label()): to_hex(x.get_color()) for x in lines}

    assert colors(plots.accuracy_dots(trained)) == expected
    assert colors(plots.training_curves(trained)) == expected
    assert colors(plots.search_curves(found, "loss", domains=["c"])) == {"c": expected["c"]}
    bars = plots.cost_bars(found).patches
    assert [to_hex(p.get_facecolor()) for p in bars] == list(expected.values())
    with plt.style.context("dark_background"):
        dark = colors(plots.search_curves(found, "loss"))
    slots = style.domain_slots(list("abc"))
    assert dark == {d: style.DARK_TONES[i] for d, i in slots.items()}


def test_lines_of_one_colour_have_other_dashes(found: SearchResult) -> None:
    names = [f"d{i}" for i in range(14)]
    rows = [found.history[found.history["domain"] == "a"].assign(domain=n) for n in names]
    paths = dict.fromkeys(names, found.paths["a"])
    many = dataclasses.replace(found, paths=paths, history=pd.concat(rows))
    lines = [x for x in plots.search_curves(many, "loss").lines if x.get_label() in names]
    looks = {(to_hex(x.get_color()), x.get_linestyle()) for x in lines}
    assert len(looks) == 14 and len({to_hex(x.get_color()) for x in lines}) == 12


def test_cost_bars(found: SearchResult) -> None:
    ax = plots.cost_bars(found)
    costs = list(found.costs.values())
    assert bars(ax) == pytest.approx(costs)
    assert [t.get_text() for t in ax.texts] == [f"{c / 10_000 - 1:+.0%}" for c in costs]


def test_cost_bars_show_the_target_of_each_domain_if_they_differ(found: SearchResult) -> None:
    targets = {d: 1000.0 * (i + 1) for i, d in enumerate(found.paths)}
    mixed = dataclasses.replace(found, cost_targets=targets)
    ax = plots.cost_bars(mixed)
    (dashes,) = ax.collections
    assert [x for (x, _), _ in dashes.get_segments()] == list(targets.values())
    pairs = zip(found.costs.values(), targets.values(), strict=True)
    assert [t.get_text() for t in ax.texts] == [f"{c / t - 1:+.0%}" for c, t in pairs]
    lines = plots.search_curves(mixed, "cost").lines
    levels = {float(line.get_ydata()[0]) for line in lines if line.get_linestyle() == "--"}
    assert levels == set(targets.values())


def test_size_bars_add_up(found: SearchResult, trained: TrainResult) -> None:
    accounting = account(trained.net, found.paths)
    ax = plots.size_bars(accounting)
    widths = np.array(bars(ax)).reshape(4, 4)  # parts x (model, a, b, c)
    assert widths[:, 0].sum() == accounting.parameters()
    assert widths[0, 1:].tolist() == accounting.domains["shared"].tolist()
    assert legend(ax) == ["shared", "private", "batch norm", "classifier"]


def test_policy_heatmap(found: SearchResult) -> None:
    ax = plots.policy_heatmap(found, "b")
    table = np.ma.filled(ax.images[0].get_array(), np.nan)
    expected = [[0.95, 0.3], [0.05, 0.5], [np.nan, 0.2]]
    np.testing.assert_allclose(table, expected, rtol=1e-6)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["conv1", "conv3", "zero"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1.1", "1.2 ?"]
    decided, open_ = (c.get_offsets().tolist() for c in ax.collections)
    assert decided == [[0, 0]]
    assert open_ == [[1, 1]]
    assert "1 of 2 decisions made" in ax.get_title()
    with pytest.raises(MpnasError, match="unknown domain 'x'"):
        plots.policy_heatmap(found, "x")


def test_policies_are_panels_of_the_same_axes(found: SearchResult) -> None:
    figure = plots.policies(found)
    panels = [ax for ax in figure.axes if ax.images]
    titles = [ax.get_title(loc="left") for ax in panels]
    assert titles == ["a: 2 of 2 decided", "b: 1 of 2 decided", "c: 2 of 2 decided"]
    for domain, ax in zip("abc", panels, strict=True):
        alone = plots.policy_heatmap(found, domain).images[0].get_array()
        np.testing.assert_array_equal(
            np.ma.filled(ax.images[0].get_array(), -1), np.ma.filled(alone, -1)
        )
    assert len(figure.axes) == 3 + 1 + 1, "an empty place and one colour bar"
    assert [ax.images[0].get_clim() for ax in panels] == [(0, 1)] * 3
    few = plots.policies(found, domains=["c"])
    assert [ax.get_title(loc="left") for ax in few.axes if ax.images] == ["c: 2 of 2 decided"]
    with pytest.raises(MpnasError, match="unknown domain 'x'"):
        plots.policies(found, domains=["x"])
    with pytest.raises(MpnasError, match="at least one column, not 0"):
        plots.policies(found, columns=0)


def test_the_course_of_a_stage_is_one_figure(found: SearchResult, trained: TrainResult) -> None:
    figure = plots.search_course(found)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[0] == "reward" and [t.partition("(")[0].strip() for t in titles[1:]] == [
        "cost of the sampled paths",
        "policy entropy / log",
        "loss",
    ]
    weights = found.history.assign(weight=1.0)
    assert len(plots.search_course(dataclasses.replace(found, history=weights)).axes) == 4
    weights["weight"] = np.arange(len(weights))
    assert len(plots.search_course(dataclasses.replace(found, history=weights)).axes) == 5
    assert not any(ax.get_legend() for ax in figure.axes)
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["a", "b", "c", "target", "decided below"]
    assert len(plots.search_course(found, ["entropy"]).axes) == 1
    assert len(plots.training_course(trained).axes) == 2
    with pytest.raises(MpnasError, match="unknown metric of a search 'x'"):
        plots.search_course(found, ["x"])


def test_policy_over_time(found: SearchResult) -> None:
    ax = plots.policy_over_time(found, "b", "1.2")
    assert legend(ax) == ["conv3  (chosen)", "conv1", "zero"]
    tops = [c.get_paths()[0].vertices[:, 1].max() for c in ax.collections]
    assert tops == pytest.approx([1 / 3, 2 / 3, 1.0])
    with pytest.raises(MpnasError, match="unknown decision '9.9'"):
        plots.policy_over_time(found, "b", "9.9")


def test_path_spread_draws_one_dot_per_path_and_a_bar_over_seeds() -> None:
    space = pocket_space()
    archs = ("zero k3e1 zero zero k3e1 zero zero k3e1 zero zero", " ".join(["k5e4"] * 10))
    rows = pd.DataFrame(
        [
            {"path": p, "seed": s, "domain": "a", "arch": archs[p], "accuracy": value}
            | {"multiply_adds": space.cost(space.parse(archs[p])).multiply_adds}
            for p, s, value in ((0, 0, 0.5), (0, 1, 0.54), (1, 0, 0.7))
        ]
    )
    ax = path_spread(PathSpread(rows, space), "a")
    bar, dots = ax.get_lines()
    assert dots.get_ydata().tolist() == pytest.approx([0.5, 0.7])
    assert list(bar.get_ydata()) == pytest.approx([0.5, 0.54])


def test_panels_of_path_spreads_have_one_axis() -> None:
    spread = mk.analysis.read_path_spread(None)
    figure = plots.path_spreads(spread)
    titles = [ax.get_title(loc="left").partition(":")[0] for ax in figure.axes]
    assert titles == list(spread.table()["domain"])
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    with pytest.raises(MpnasError, match="at least one column, not 0"):
        plots.path_spreads(spread, columns=0)


def test_recalls_have_a_dot_per_class_with_images_and_name_the_weakest(
    trained: TrainResult,
) -> None:
    with pytest.raises(MpnasError, match="no recalls"):
        plots.class_recalls(trained)
    trained.recalls = pd.DataFrame(
        [
            {"domain": d, "split": "test", "label": f"{d}{i}", "images": 10 * (i != 2), "recall": r}
            for d in "abc"
            for i, r in enumerate((0.5, 0.9, np.nan, 0.9))
        ]
    )
    ax = plots.class_recalls(trained)
    for row, dots in enumerate(ax.collections):
        assert np.asarray(dots.get_offsets()).tolist() == [[0.5, row], [0.9, row]], "one has none"
        small, large = dots.get_sizes()
        assert large == 2 * small, "two classes have the same recall"
    means = [line.get_xdata()[0] for line in ax.lines]
    assert means == pytest.approx([2.3 / 3] * 3)
    assert [text.get_text() for text in ax.texts] == ["a0: 50%", "b0: 50%", "c0: 50%"]
    many = pd.DataFrame({"label": [f"k{i}" for i in range(60)], "images": range(10, 70)})
    trained.recalls = many.assign(domain="a", split="test", recall=0.0)
    trained.paths = {"a": trained.paths["a"]}
    with plt.rc_context(TRANSPARENT):
        assert plots.class_recalls(trained).texts[0].get_color() == "white"
    crowded = plots.class_recalls(trained)
    assert crowded.texts[0].get_color() == crowded.get_facecolor(), "as clear as the dot is"
    assert [text.get_text() for text in crowded.texts] == [
        "60",
        "k59 and 59 more: 0%",
    ]
    with pytest.raises(MpnasError, match="unknown split 'val'"):
        plots.class_recalls(trained, split="val")


# What a suite has ---------------------------------------------------------------------------------


def many_classes(count: int) -> mk.DomainSuite:
    """A domain with more images of the later classes, and a copy."""
    labels = torch.repeat_interleave(torch.arange(count), torch.arange(count) % 7 + 2)
    images = torch.randint(0, 256, (len(labels), 3, 8, 8), dtype=torch.uint8)
    images[1] = images[0]
    split = mk.TensorSplit(images, labels)
    return mk.DomainSuite((mk.Domain("many", [f"c{i}" for i in range(count)], *[split] * 3),))  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "drawn_classes"), [(3, 3), (30, 30), (500, 30)])
def test_the_most_and_least_frequent_classes_are_drawn(count: int, drawn_classes: int) -> None:
    suite = many_classes(count)
    facts = mk.describe(suite)
    ax = plots.class_counts(facts, "many")
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert len(names) == drawn_classes and len(ax.patches) == 3 * drawn_classes
    whole = facts.classes.set_index("label")[["train", "val", "test"]].sum(axis=1)
    shown = [int(whole[name]) for name in names]
    assert shown == sorted(shown, reverse=True) and shown[-1] == whole.min()
    hidden = [text.get_text() for text in ax.texts]
    assert hidden == ([f"and {count - 30} more classes"] if count > 30 else [])
    plots.class_samples(suite["many"], classes=5, columns=2)
    with pytest.raises(MpnasError, match="unknown domain 'few'"):
        plots.class_counts(facts, "few")
    with pytest.raises(MpnasError, match="at least 2"):
        plots.class_counts(facts, "many", most=1)


def test_samples_of_classes_are_images_of_the_named_class() -> None:
    suite = many_classes(9)
    ax = plots.class_samples(suite["many"], classes=4, columns=3)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names[0] == "c6 (8)" and names[-1] == "c7 (2)" and len(names) == 4
    canvas = np.asarray(ax.images[0].get_array())
    first = canvas[:8, :8, :3].transpose(2, 0, 1)
    own = suite["many"].train
    same = [i for i in range(len(own)) if (own.take(torch.tensor([i]))[0].numpy() == first).all()]
    assert same and own.labels[same[0]] == 6
    assert (canvas[-8:, -8:, 3] == 0).all(), "a class with 2 images has an empty third place"


def test_copies_are_drawn_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = many_classes(3)
    facts = mk.describe(suite)
    ax = plots.copy_pairs(facts, suite, pairs=2)
    texts = [text.get_text() for text in ax.get_yticklabels()]
    assert len(texts) == 2 and texts[0].startswith("exact copy: many, val")
    with pytest.raises(MpnasError, match="no copies"):
        plots.copy_pairs(mk.describe(tiny.suite(1)), tiny.suite(1))
    with pytest.raises(MpnasError, match="not from files"):
        plots.original_sizes(facts)


def test_characters_come_from_fonts_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "FALLBACKS", ("No Such Font", "STIXGeneral"))
    style._fallbacks.cache_clear()
    facts = mk.describe(many_classes(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plots.class_counts(facts, "many")
    assert ax.get_yticklabels()[0].get_fontfamily()[-1] == "STIXGeneral"
    assert "No Such Font" not in ax.title.get_fontfamily()
    style._fallbacks.cache_clear()


def test_probabilities_are_beside_their_images(trained: TrainResult) -> None:
    shares = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], dtype=np.float32)
    found = mk.Prediction("a", ("x", "y" * 60, "z"), ("image 0", "image 1"), shares)
    images = [np.full((8, 4, 3), 90, np.uint8), np.zeros((6, 6), np.uint8)]
    ax = plots.probabilities(found, images, top=2)
    assert bars(ax) == pytest.approx([0.7, 0.2, 0.5, 0.3])
    texts = [text.get_text() for text in ax.texts]
    assert texts[0].startswith(" 70%  yyyy") and len(texts[0]) < 50 and texts[2] == " 50%  x"
    assert len(ax.child_axes) == 2
    first = np.asarray(ax.child_axes[0].images[0].get_array())
    assert (first[:, 64] == 90).all() and (first[:, 0] == 0).all(), "the whole image is shown"
    with pytest.raises(MpnasError, match="is of 2 images"):
        plots.probabilities(found, images[:1])
    with pytest.raises(MpnasError, match="at least one class"):
        plots.probabilities(found, images, top=0)


def test_the_worst_mistakes_are_named() -> None:
    suite, space = tiny.suite(1), tiny.space()
    trained = mk.train(suite, space, tiny.paths(space, ["k3e1 k5e3"]), tiny.train_config(steps=1))
    wrong = mk.analysis.confident_mistakes(mk.analysis.predictions(trained, suite["a"]))
    ax = plots.worst_mistakes(trained, suite["a"], most=3)
    assert len(ax.child_axes) == len(ax.texts) == min(3, len(wrong)) > 0
    row = wrong.iloc[0]
    label, predicted = (suite["a"].classes[row[c]] for c in ("label", "predicted"))
    assert ax.texts[0].get_text() == f"{label}\nas {predicted}\n{row['confidence']:.0%}"
    assert f"{len(wrong)} of 12 test images" in ax.get_title()
    with pytest.raises(MpnasError, match="at least one image"):
        plots.worst_mistakes(trained, suite["a"], most=0)


def test_latencies_are_one_dot_per_path() -> None:
    rows = pd.DataFrame({"arch": list("abc"), "sum": [1.0, 2.0, 3.0], "measured": [1.0, 2.0, 4.0]})
    ax = plots.latency_scatter(mk.analysis.LatencyCheck(8, rows))
    assert ax.collections[0].get_offsets().tolist() == [[1, 1], [2, 2], [3, 4]]
    assert ax.get_xlabel() == "sum of the table (ms)" and "Spearman 1.000" in ax.get_title()
