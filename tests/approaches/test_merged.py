"""The approach that takes the paths of a merge pass."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from mpnas_kit.approaches.approach import Context, is_matched, label
from mpnas_kit.approaches.merged import Merged
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.run import Run
from mpnas_kit.search.merging import Front, FrontPoint

SEARCH = {"steps": 4, "warmup_share": 0.0, "policy_snapshots": 2, "batch_size": 4, "threads": 1}
ARCHS = ("k3e1 k3e1", "k3e2 k5e3", "zero k3e1")


def context(sizes: tuple[int, ...] = (9000, 6000, 4500)) -> Context:
    """A context whose front has a uniform path per point."""
    space = tiny.space()
    points = [
        FrontPoint(dict.fromkeys("abc", space.parse(arch)), size, 0.5)
        for size, arch in zip(sizes, ARCHS, strict=True)
    ]
    matched, front = points[0].paths, Front(tuple(points), measured=5)
    return Context(space, tuple("abc"), tiny.search_config(), matched, front=front)


@pytest.mark.parametrize(
    ("approach", "arch"),
    [
        (Merged(), ARCHS[2]),
        (Merged(share=0.7), ARCHS[1]),
        (Merged(share=1.0), ARCHS[0]),
        (Merged(parameters=6000), ARCHS[1]),
        (Merged(share=0.1, parameters=5999), ARCHS[2]),
    ],
)
def test_the_largest_union_within_the_limit_is_taken(approach: Merged, arch: str) -> None:
    plan = approach.plan(context())
    assert plan.paths is not None and plan.paths["b"].arch == arch
    assert is_matched(approach) and approach.weighs


def test_its_text_form() -> None:
    assert APPROACH.parse("merged(parameters=40000)") == Merged(parameters=40_000)
    assert label(Merged(share=0.25)) == "merged(share=0.25)"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Merged(share=0), "merged: share must be a number above 0 and up to 1, not 0"),
        (lambda: Merged(parameters=0), "merged: parameters must be"),
        (lambda: Merged(share=0.1).plan(context()), "no union of at most 900 parameters"),
        (
            lambda: Merged().plan(Context(tiny.space(), ("a",), tiny.search_config())),
            "merged needs an MPNAS run to match its front",
        ),
        (
            lambda: Merged().plan(
                Context(tiny.space(), ("a",), tiny.search_config(), context().matched)
            ),
            "merged takes the paths of a merge pass, .* had none: expected a search with the set",
        ),
    ],
)
def test_a_wrong_limit_and_a_missing_front(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(MpnasError, match=message):
        wrong()


def test_a_run_takes_the_paths_of_another_one(tmp_path: Path) -> None:
    about = {"data": "tiny:suite(count=3)", "space": "tiny:space"}
    run = Run(tmp_path / "first", **about)
    found = run.search(**SEARCH, merge=True)
    assert found.front is not None
    smallest = found.front.points[-1]
    merged = f"merged(parameters={smallest.parameters})"
    control = Run(tmp_path / "merged", approach=merged, matched_to=run.folder, **about)
    assert control.paths() == smallest.paths
    plain = Run(tmp_path / "plain", **about)
    plain.search(**SEARCH)
    with pytest.raises(MpnasError, match="the search of the MPNAS run it is matched to had none"):
        Run(tmp_path / "none", approach="merged", matched_to=plain.folder, **about).paths()
