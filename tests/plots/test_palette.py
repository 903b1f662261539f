"""Colours of domains: told apart by all readers, seen on all grounds, and bound to the name."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from mpnas_kit import plots
from mpnas_kit.domains.pocket_suite import POCKET_DOMAINS
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style
from mpnas_kit.plots.style import DARK_TONES, LIGHT_TONES

Colors = NDArray[np.float64]  # (n, 3)
LIGHT_GROUNDS = ("#ffffff", "#f6f7f9")
DARK_GROUNDS = ("#1a1f26", "#14181d", "#111111")

# Linear sRGB as people with normal vision, protanopia, deuteranopia and tritanopia see it (Machado
# et al. 2009, severity 1.0).
VISIONS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ]
)
# Linear sRGB to cones, and their cube roots to OKLab (Ottosson 2020).
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def linear(colors: Sequence[str]) -> Colors:
    """Linear sRGB, 0 to 1, of colours such as `#a965a7`."""
    values = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast of WCAG 2.2, 1 to 21."""
    low, high = np.sort(linear([one, other]) @ LUMINANCE)
    return float((high + 0.05) / (low + 0.05))


def oklab(colors: Colors) -> Colors:
    """OKLab of linear colours in all visions: (vision, n, 3)."""
    seen = np.clip(np.einsum("vij,nj->vni", VISIONS, colors), 0, 1)
    return np.asarray(np.cbrt(seen @ CONES.T) @ OKLAB.T)


def distances(colors: Colors) -> NDArray[np.float64]:
    """OKLab distances of every two colours: (vision, pairs)."""
    seen = oklab(colors)
    first, second = np.triu_indices(len(colors), 1)
    return np.asarray(np.linalg.norm(seen[:, first] - seen[:, second], axis=-1))


@pytest.mark.parametrize(
    ("tones", "grounds"), [(LIGHT_TONES, LIGHT_GROUNDS), (DARK_TONES, DARK_GROUNDS)]
)
def test_the_contrast_of_every_tone_to_its_grounds_is_three(
    tones: Sequence[str], grounds: Sequence[str]
) -> None:
    assert len(set(tones)) == 12
    assert min(contrast(tone, ground) for tone in tones for ground in grounds) >= 3


def test_greys_and_accents_that_mean_something_are_seen() -> None:
    for grey in (style.GREY, style.OUTLINE):
        assert min(contrast(grey, g) for g in ("#ffffff", *DARK_GROUNDS)) >= 3
    assert min(contrast(style.ACCENT, g) for g in LIGHT_GROUNDS) >= 3
    assert min(contrast(style.DARK_ACCENT, g) for g in DARK_GROUNDS) >= 3


@pytest.mark.parametrize("color_map", ["PuOr", "PuOr_r", "viridis"])
def test_numbers_in_cells_are_legible_on_every_shade(color_map: str) -> None:
    for share in np.linspace(0, 1, 101):
        ground = to_hex(mpl.colormaps[color_map](share))
        assert contrast(to_hex(style.readable_on(ground)), ground) >= 4.5


@pytest.mark.parametrize("tones", [LIGHT_TONES, DARK_TONES])
def test_any_two_domains_look_different_to_every_reader(tones: Sequence[str]) -> None:
    first, all_ = distances(linear(tones[:10])), distances(linear(tones))
    assert first.min() >= 0.097 and first[0].min() >= 0.13
    assert all_.min() >= 0.078


def test_the_tones_of_a_domain_have_one_hue() -> None:
    (light, *_), (dark, *_) = oklab(linear(LIGHT_TONES)), oklab(linear(DARK_TONES))
    hues = [np.arctan2(lab[:, 2], lab[:, 1]) for lab in (light, dark)]
    apart = np.degrees(np.abs((hues[0] - hues[1] + np.pi) % (2 * np.pi) - np.pi))
    assert apart.max() < 20


def test_a_domain_has_the_colour_of_its_name() -> None:
    whole = plots.domain_colors(POCKET_DOMAINS)
    assert list(whole) == list(POCKET_DOMAINS) and len(set(whole.values())) == 10
    assert plots.domain_colors(["emoji", "digits"]) == {d: whole[d] for d in ("emoji", "digits")}
    with_others = plots.domain_colors(["cats", "digits", "dogs"])
    assert with_others["digits"] == whole["digits"]
    assert len(set(with_others.values())) == 3
    assert plots.domain_colors(["cats"])["cats"] == with_others["cats"], (
        "a free place stays its own"
    )
    with pytest.raises(MpnasError, match="distinct"):
        plots.domain_colors(["a", "a"])


def test_colours_repeat_only_when_all_are_taken() -> None:
    names = [f"d{i}" for i in range(36)]
    slots = style.domain_slots(names)
    assert sorted(slots.values()) == list(range(36))
    assert set(list(slots.values())[:10]) == set(range(10)), "the most distinct ones first"
    colors = list(plots.domain_colors(names).values())
    assert len(set(colors[:12])) == 12 and set(colors) == set(LIGHT_TONES)


def rules(css: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Selector and variables of every rule."""
    for selector, inside in re.findall(r"([^{}]+?) \{ (--[^}]*) \}", css):
        yield selector.strip(), dict(re.findall(r"(--[\w-]+): (#\w{6});", inside))


def test_pages_define_the_colours_that_figures_use() -> None:
    (light, dark) = rules(plots.style.palette_css(".light", ".dark"))
    assert light[0] == ".light" and list(light[1].values()) == list(LIGHT_TONES)
    assert dark[0] == ".dark" and list(dark[1].values()) == list(DARK_TONES)
    colors = plots.domain_colors(POCKET_DOMAINS)
    for domain, used in plots.domain_variables(POCKET_DOMAINS).items():
        name, color = re.findall(r"var\((.*), (.*)\)", used)[0]
        assert light[1][name] == color == colors[domain]
    media = plots.style.palette_css(":root", "@media (prefers-color-scheme: dark)")
    assert "@media (prefers-color-scheme: dark) { :root { --mpnas-d1" in media
    assert [r[1] for r in rules(media)] == [light[1], dark[1]]


# The search ---------------------------------------------------------------------------------------


def quality(light: Colors, dark: Colors) -> float:
    """What the search maximises: the least distance, less what breaks a condition.

    Distances in normal vision count 1 / 1.4, those of the last two colours 1.25.
    """
    pairs = np.array(list(combinations(range(len(light)), 2)))
    weight = np.where((pairs < 10).all(axis=1), 1.0, 1.25)
    result = 0.0
    for tones, limit in ((light, (0.0, 0.272)), (dark, (0.143, 1.0))):
        apart = distances(tones)
        apart[0] /= 1.4
        shades = tones @ LUMINANCE
        outside = np.abs(tones - np.clip(tones, 0, 1)).sum()
        outside += 3 * np.abs(shades - np.clip(shades, *limit)).sum()
        result += float((weight * apart.min(axis=0)).min()) - 6 * float(outside)
    return result


def tones_of(genes: Colors) -> tuple[Colors, Colors]:
    """Light and dark tones, linear sRGB. genes: (6, n) hue, lightness and chroma of both, turn."""
    hue, *shades, turn = genes
    result = []
    for (lightness, chroma), angle in ((shades[:2], hue), (shades[2:], hue + turn)):
        lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)
        result.append((lab @ np.linalg.inv(OKLAB).T) ** 3 @ np.linalg.inv(CONES).T)
    return result[0], result[1]


def search(seed: int, steps: int = 60_000) -> tuple[Colors, Colors]:
    """The search behind the tones: simulated annealing, one colour per step."""
    random, n = np.random.default_rng(seed), 12
    low, high = np.array(
        [(-9, 9), (0.33, 0.64), (0.055, 0.30), (0.5, 0.93), (0.055, 0.26), (-0.26, 0.26)]
    ).T[:, :, None]
    genes = random.uniform(low, high, (6, n))
    now = best = quality(*tones_of(genes))
    found = genes
    for step in range(steps):
        left = 1 - step / steps
        trial, i = genes.copy(), random.integers(n)
        widths = np.array([0.5, 0.05, 0.04, 0.07, 0.04, 0.08]) * (left + 0.03)
        trial[:, i] += widths * random.normal(size=6)
        trial = np.clip(trial, low, high)
        value = quality(*tones_of(trial))
        if value > now or random.random() < np.exp((value - now) / (0.02 * left**2 + 1e-5)):
            genes, now = trial, value
            if value > best:
                found, best = trial, value
    return tones_of(found)


def test_the_search_improves_what_it_measures() -> None:
    short, longer = (quality(*search(seed=0, steps=steps)) for steps in (1, 400))
    chosen = quality(linear(LIGHT_TONES), linear(DARK_TONES))
    assert short < longer < chosen
