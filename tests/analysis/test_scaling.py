"""Estimated time of a stage on other machines, by hand."""

import matplotlib.pyplot as plt
import pytest
import tiny
import torch

from mpnas_kit import plots
from mpnas_kit.analysis.scaling import Work, estimate, measured_speed, random_paths, work_of
from mpnas_kit.network.net import Flow, MultiPathNet


def test_the_work_of_a_step_is_counted_from_images_and_paths() -> None:
    space = tiny.space()
    train = tiny.train_config(batch_size=8, micro_batches=2, steps=5)
    search = tiny.search_config(batch_size=8, reward_batch=6, paths_per_step=3, steps=7)
    paths = random_paths(space)
    forward = sum(space.cost(p).multiply_adds for p in paths) / len(paths)
    trained, searched = work_of(space, 3, train), work_of(space, 3, search)
    assert trained.multiply_adds == pytest.approx(3 * 8 * 3 * forward)
    assert searched.multiply_adds == pytest.approx(3 * (8 * 3 + 3 * 6) * forward)
    assert (trained.stage, trained.steps, trained.units) == ("train", 5, 6)
    assert (searched.stage, searched.steps, searched.units) == ("search", 7, 3)


@pytest.mark.parametrize("collapse", [True, False])
def test_gradients_are_those_of_a_step(collapse: bool) -> None:
    """Whole weights of which a path uses a part; every domain's batch norms; classifiers."""
    space = tiny.space()
    paths = dict(zip("abc", random_paths(space, 3), strict=True))
    tasks = tiny.tasks(dict.fromkeys(paths, 100))
    nets = {
        "search": MultiPathNet.supernet(space, tasks, "per_domain", 1, collapse=collapse),
        "train": MultiPathNet.of_paths(space, paths, tasks, "per_domain", 1),
    }
    configs = {"search": tiny.search_config(collapse=collapse), "train": tiny.train_config()}
    for stage, net in nets.items():
        logits = net([Flow(d, tiny.images(2), path) for d, path in paths.items()])
        torch.autograd.backward(torch.stack([x.sum() for x in logits]).sum())
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        expected = sum(g.numel() * g.element_size() for g in gradients)
        assert work_of(space, 3, configs[stage]).gradients == expected


def test_work_is_in_proportion_to_the_domains() -> None:
    few, many = (work_of(tiny.space(), n, tiny.train_config()) for n in (30, 90))
    assert many.multiply_adds == pytest.approx(3 * few.multiply_adds)


def test_devices_that_do_not_divide_the_units_wait() -> None:
    work = Work("train", steps=3600, multiply_adds=100.0, gradients=10.0, units=10)
    table = estimate([work], [1, 4, 10], speed=100.0, bandwidth=1e9).set_index("devices")
    assert table["hours"].tolist() == pytest.approx([1.0, 0.3, 0.1], rel=1e-6)
    assert table["device_hours"].tolist() == pytest.approx([1.0, 1.2, 1.0], rel=1e-6)
    assert table["busy"].tolist() == pytest.approx([1.0, 100 / 4 / 30, 1.0], rel=1e-6)


def test_sums_of_gradients_take_their_time() -> None:
    work = Work("train", steps=3600, multiply_adds=100.0, gradients=50.0, units=2)
    (hours,) = estimate([work], [2], speed=100.0, bandwidth=100.0)["hours"]
    assert hours == pytest.approx(0.5 + 0.5)


def test_the_figure_has_a_line_per_stage_and_its_ideal() -> None:
    work = [Work(s, 10, 100.0, 10.0, 8) for s in ("search", "train")]
    table = estimate(work, [1, 4, 8], speed=100.0, bandwidth=1e3)
    ax = plots.scaling_curves(table)
    lines = {line.get_label(): line for line in ax.get_lines() if line.get_linestyle() == "-"}
    assert list(lines) == ["search", "train"] and len(ax.get_lines()) == 4
    hours = table[table["stage"] == "train"]["hours"].tolist()
    assert list(lines["train"].get_ydata()) == hours
    plt.close("all")


def test_a_measured_speed_is_a_number_of_multiply_adds_a_second() -> None:
    speed = measured_speed(tiny.space(), torch.device("cpu"), batch=4, repeats=1)
    assert 1e4 < speed < 1e14
