"""Images whose domain is not given: it is chosen, and then they are classified as if it were."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import mpnas_kit as mk

SUITE = tiny.suite(3)


def mixed() -> list[torch.Tensor]:
    """Test images of the domains a and b in turn."""
    pairs = zip(*(tiny.pixels(SUITE[d].test) for d in "ab"), strict=True)
    return [image for pair in pairs for image in pair]


def test_images_are_classified_as_if_the_domain_were_given(model: mk.Model) -> None:
    images = mixed()
    found = model.predict(images, domain="auto", top=2, batch_size=5)
    statistics = {d: mk.PixelStatistics.of(SUITE[d]) for d in model.domains}
    for image, domain, rows in zip(images, found.domains, found.by_image(), strict=True):
        densities = {d: float(s.log_density(image[None])) for d, s in statistics.items()}
        assert domain == max(densities, key=lambda d: densities[d])
        alone = model.predict(image, domain=domain, top=2)
        assert rows["label"].tolist() == alone.table["label"].tolist()
        np.testing.assert_allclose(rows["probability"], alone.table["probability"], atol=1e-5)
    assert found.domains[1::2] == ("b",) * 12  # the only domain with colours
    assert len(found) == 24 and len(found.labels) == 24
    assert found.table["image"].tolist() == [f"image {i // 2}" for i in range(48)]
    assert set(found.table.columns) == {"image", "domain", "rank", "label", "probability"}


def test_files_of_any_size_are_taken(model: mk.Model, photos: list[Path], tmp_path: Path) -> None:
    Image.open(photos[0]).resize((64, 80)).save(tmp_path / "large.png")
    found = model.predict(iter([tmp_path / "large.png", *photos]), domain="auto", batch_size=4)
    assert found.domains == ("b",) * 13 and found.images[0] == str(tmp_path / "large.png")
    assert repr(found) == "AutoPrediction(13 images: b 13)"


def test_a_grown_model_chooses_among_all_domains(made: mk.Run, tmp_path: Path) -> None:
    dark = mk.TensorSplit(torch.randint(0, 8, (12, 3, 16, 16)), torch.arange(12) % 2)
    new = mk.DomainSuite((mk.Domain("dark", ("x", "y"), dark, dark, dark),))
    larger = made.grow(tmp_path / "larger", data=new)
    larger.train(tiny.train_config(), paths={"dark": tiny.space().parse("zero k3e1")})
    model = mk.load(larger.folder)
    assert model.predict(dark.images, domain="auto").domains == ("dark",) * 12
    assert set(model.predict(mixed(), domain="auto").domains[1::2]) == {"b"}


def test_a_domain_called_auto_is_that_domain() -> None:
    space = tiny.space()
    suite = mk.DomainSuite((tiny.domain("auto"), tiny.domain("b", 4, 3)))
    paths = dict.fromkeys(suite.names, space.parse("zero k3e1"))
    model = mk.Model.of(mk.train(suite, space, paths, tiny.train_config(steps=1)))
    assert isinstance(model.predict(mixed()[:2], domain="auto"), mk.Prediction)


def test_a_model_without_statistics_says_so(moved: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(moved, old)
    (old / "train" / "pixels.safetensors").unlink()
    results = json.loads((old / "train" / "results.json").read_text())
    del results["files"]["pixels.safetensors"]
    (old / "train" / "results.json").write_text(json.dumps(results))
    with pytest.raises(mk.MpnasError, match=r"\(of a, b, c\), because an earlier release"):
        mk.load(old).predict(mixed(), domain="auto")
    exported = mk.Model(mk.load(moved).signatures, mk.load(moved).network)
    with pytest.raises(mk.MpnasError, match="an exported file has no statistics"):
        exported.predict(mixed(), domain="auto")
    with pytest.raises(mk.MpnasError, match="no images"):
        mk.load(moved).predict([], domain="auto")


def test_damaged_statistics_are_named(moved: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(moved, bad)
    (bad / "train" / "pixels.safetensors").write_bytes(b"x")
    with pytest.raises(mk.MpnasError, match=r"pixels\.safetensors"):
        mk.load(bad).predict(mixed(), domain="auto")
