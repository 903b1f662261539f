"""The merge pass: which unions lie between the paths of a search and one path for all domains."""

import json
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise

import pytest
import tiny
import torch
from torch import Tensor

import mpnas_kit as mk
from mpnas_kit import files
from mpnas_kit.engine.records import FrontFile
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.merging import Front, FrontPoint, merge, merged_paths
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.space.costs import MultiplyAdds, Unshared, path_costs
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import space_from_text


class Words:
    """Quality that counts, per domain, the words of a path that the domain likes."""

    def __init__(self, **liked: str) -> None:
        self.liked = liked
        self.asked: Counter[tuple[str, Path]] = Counter()

    def __call__(self, domain: str, paths: Sequence[Path]) -> Tensor:
        self.asked.update((domain, path) for path in paths)
        likes = self.liked[domain].split()
        found = [sum(w in like for w, like in zip(p.arch.split(), likes)) for p in paths]  # noqa: B905
        return torch.tensor(found, dtype=torch.float64)


def noise(domain: str, paths: Sequence[Path]) -> Tensor:
    """A quality that depends on domain and path in no simple way."""
    values = [hash((sum(map(ord, domain)), *path.choices)) % 1000 / 1000 for path in paths]
    return torch.tensor(values, dtype=torch.float64)


def free(paths: Mapping[str, Path]) -> dict[str, float]:
    return dict.fromkeys(paths, 1e18)


def archs(point: FrontPoint) -> dict[str, str]:
    return {d: path.arch for d, path in point.paths.items()}


def test_two_domains_that_lose_nothing_merge_and_the_third_stays_apart() -> None:
    """Planted: a and b do as well with each other's nodes; c needs its own in both layers."""
    space = mk.planted_space()
    paths = tiny.paths(
        space, ["row row row row", "column column column row", "diagonal diagonal diagonal row"]
    )
    either = "row|column row|column row|column row"
    quality = Words(a=either, b=either, c="diagonal diagonal diagonal row")
    front = merge(space, paths, quality, MultiplyAdds(), free(paths))
    table = front.table()
    best = table[table["quality"] == table["quality"].max()]
    merged = front.points[best.index[-1]].paths
    assert merged["a"] == merged["b"] != merged["c"] == paths["c"]
    assert best.index.tolist() == list(range(len(best)))  # first what costs nothing
    assert len(set(front.points[-1].paths.values())) == 1
    assert table["quality"].is_monotonic_decreasing
    size = front.points[best.index[-1]].parameters
    assert front.at(size).paths == merged


def test_a_step_loses_the_least_per_parameter() -> None:
    """conv3 has 576 parameters, conv1 64: a to conv1 loses 1 for 512 saved, b to conv3 1 for 64."""
    space = tiny.two_searched_layers()
    paths = tiny.paths(space, ["conv3 zero", "conv1 zero"])
    quality = Words(a="conv3 zero", b="conv1 zero")
    front = merge(space, paths, quality, MultiplyAdds(), free(paths))
    assert [archs(point) for point in front.points] == [
        {"a": "conv3 zero", "b": "conv1 zero"},
        {"a": "conv1 zero", "b": "conv1 zero"},
    ]
    assert front.points[0].parameters - front.points[1].parameters == 576
    assert [point.quality for point in front.points] == [2.0, 1.5]


def test_users_of_a_node_move_together() -> None:
    space = tiny.two_searched_layers()
    paths = tiny.paths(space, ["conv3 zero", "conv3 zero", "conv1 zero"])
    front = merge(space, paths, Words(a="- -", b="- -", c="- -"), MultiplyAdds(), free(paths))
    assert [len(set(archs(point).values())) for point in front.points] == [2, 1]


def test_no_path_costs_more_than_its_limit() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ["zero k3e1", "k5e2se k5e3", "k3e2 k3e3"])
    costs = path_costs(MultiplyAdds(), space, paths)
    limits = {d: 1.05 * min(costs.values()) for d in paths}
    front = merge(space, paths, noise, MultiplyAdds(), limits)
    for before, after in pairwise(front.points):
        old, new = (path_costs(MultiplyAdds(), space, p.paths) for p in (before, after))
        assert all(new[d] <= max(limits[d], old[d]) for d in paths)
    assert set(archs(front.points[-1]).values()) == {"zero k3e1"}  # the only one that all may have


def wide(monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    tiny.shrink_factored(monkeypatch)
    return mk.mobilenet_v3_like(16)


def grown(_: pytest.MonkeyPatch) -> SearchSpace:
    base = tiny.space()
    return GrownSpace(base, {"old": base.parse("k3e2 k5e3")})


SPACES: Mapping[str, Callable[[pytest.MonkeyPatch], SearchSpace]] = {
    "layerwise": lambda _: tiny.space(),
    "strides": lambda _: space_from_text("pocket_strided", 32),
    "private copies": lambda _: mk.lite0(32),
    "searched widths": wide,
    "frozen": grown,
}


@pytest.mark.parametrize("name", SPACES)
def test_unions_shrink_to_one_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space, generator = SPACES[name](monkeypatch), torch.Generator().manual_seed(0)
    paths = {d: space.sample(generator) for d in "abcd"}
    front = merge(space, paths, noise, MultiplyAdds(), free(paths))
    assert front.points[0].paths == paths
    for point in front.points:
        assert point.parameters == space.union_cost(point.paths.values()).parameters
        assert point.quality == pytest.approx(
            sum(float(noise(d, [p])) for d, p in point.paths.items()) / 4
        )
    for before, after in pairwise(front.points):
        assert after.parameters < before.parameters
        for d, e in combinations(paths, 2):
            path = before.paths[d]
            if path == before.paths[e] and not any(node.owner for node in space.nodes(path)):
                assert after.paths[d] == after.paths[e]
    last = front.points[-1]
    assert not any(node.owner for p in last.paths.values() for node in space.nodes(p))
    if name != "frozen":  # there, paths of frozen nodes add no parameters
        assert len(set(last.paths.values())) == 1
    assert merge(space, paths, noise, MultiplyAdds(), free(paths)) == front


def test_each_path_is_measured_once() -> None:
    space, generator = tiny.space(), torch.Generator().manual_seed(0)
    paths = {d: space.sample(generator) for d in "abcde"}
    quality = Words(**dict.fromkeys(paths, "k3e1 k3e1"))
    front = merge(space, paths, quality, MultiplyAdds(), free(paths))
    assert front.measured == len(quality.asked) == quality.asked.total()


@pytest.mark.parametrize("settings", [{}, {"cost_scope": "joint"}, {"cost": Unshared(1)}])
def test_limits_come_from_the_search(settings: dict[str, object]) -> None:
    """Without one target for each path, a path may cost 5 % more than what the search found."""
    space = tiny.space()
    paths = tiny.paths(space, ["zero k3e1", "k5e2se k5e3"])
    costs = path_costs(MultiplyAdds(), space, paths)
    targets = dict.fromkeys(paths, max(costs.values()))
    config = tiny.search_config(**settings)
    front = merged_paths(space, paths, Words(a="k5e2se k5e3", b="k5e2se k5e3"), config, targets)
    wanted = "zero k3e1" if settings else "k5e2se k5e3"
    assert set(archs(front.points[-1]).values()) == {wanted}


def test_a_front_is_read_as_it_was_written() -> None:
    space, generator = tiny.space(), torch.Generator().manual_seed(1)
    paths = {d: space.sample(generator) for d in "abc"}
    front = merge(space, paths, noise, MultiplyAdds(), free(paths))
    content = files.parse_json(files.json_bytes(front.record()), FrontFile, pathlib.Path("x"))
    assert Front.read(content, space) == front


def test_a_point_is_found_by_its_size() -> None:
    path = tiny.space().parse("k3e2 k5e3")
    points = [FrontPoint({"a": path, "b": path}, size, 0.5) for size in (900, 600, 500)]
    front = Front(tuple(points), 5)
    assert [front.at(n).parameters for n in (1000, 900, 899, 600, 500)] == [900, 900, 600, 600, 500]
    assert front.table()["share"].tolist() == pytest.approx([1, 2 / 3, 5 / 9])
    assert front.table()["distinct_paths"].tolist() == [1, 1, 1]
    with pytest.raises(MpnasError, match=r"no union of at most 499 parameters: its smallest one h"):
        front.at(499)


def test_a_search_with_a_merge_pass(tmp_path: pathlib.Path) -> None:
    suite, space = tiny.three(), tiny.space()
    config = tiny.search_config(merge=True)
    found = search(suite, space, config, folder=tmp_path / "whole")
    assert found.front is not None and found.front.points[0].paths == found.paths
    assert SearchResult.load(tmp_path / "whole", space=space, config=config).front == found.front
    with pytest.raises(tiny.Stopped):
        search(suite, space, config, folder=tmp_path / "cut", callbacks=[tiny.stop_at(5)])
    search(suite, space, config, folder=tmp_path / "cut")
    for file in ("front.json", "results.json"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    plain = search(suite, space, tiny.search_config())
    assert plain.front is None and plain.paths == found.paths
    alone = search(suite, space, tiny.search_config(merge=True, private_from=0))
    assert alone.front is None


def test_a_front_of_another_search_is_refused(tmp_path: pathlib.Path) -> None:
    space, config = tiny.space(), tiny.search_config(merge=True)
    search(tiny.three(), space, config, folder=tmp_path)
    content = json.loads((tmp_path / "front.json").read_bytes())
    content["points"][0]["paths"] = dict.fromkeys("abc", "zero k3e1")
    content["points"][0]["paths"]["a"] = "k5e2se k5e3"
    (tmp_path / "front.json").write_bytes(files.json_bytes(content))
    with pytest.raises(MpnasError, match=r"front\.json is not the file that the results belong to"):
        SearchResult.load(tmp_path, space=space, config=config)
    results = json.loads((tmp_path / "results.json").read_bytes())
    results["files"]["front.json"] = files.checksum(tmp_path / "front.json")
    (tmp_path / "results.json").write_bytes(files.json_bytes(results))
    with pytest.raises(MpnasError, match=r"front\.json is not the front of this search"):
        SearchResult.load(tmp_path, space=space, config=config)
