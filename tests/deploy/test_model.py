"""Predictions: of images in any form, by a run that has none of its training images any more."""

import dataclasses
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import mpnas_kit as mk
from mpnas_kit.domains.decoding import Fit, of_picture
from mpnas_kit.network.net import Flow

SUITE = tiny.suite(3)


def expected(model: mk.Model, domain: str) -> torch.Tensor:
    """The probabilities that the network of the training gives for the test images."""
    result, standard = model.result, model.signature(domain).standard
    x = standard(tiny.pixels(SUITE[domain].test))
    with torch.no_grad():
        return torch.softmax(result.net([Flow(domain, x, result.paths[domain])])[0], 1)


def test_a_moved_run_predicts_what_its_network_does(model: mk.Model) -> None:
    assert model.domains == ("a", "b", "c") and model.classes("c") == ("class0", "class1")
    for domain in SUITE:
        found = model.predict(domain.test.images, domain=domain.name, batch_size=5)  # type: ignore[attr-defined]
        np.testing.assert_allclose(
            found.probabilities, expected(model, domain.name).numpy(), atol=1e-5
        )
        assert found.probabilities.dtype == np.float32 and len(found) == 12
        right = np.mean([int(x[5:]) for x in found.labels] == domain.test.labels.numpy())
        assert right == pytest.approx(model.result.accuracy()[domain.name])


def test_the_model_of_a_training_needs_no_folder() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ["k3e1 k5e3", "zero k3e1"])
    trained = mk.train(tiny.suite(2), space, paths, tiny.train_config(steps=2))
    model = mk.Model.of(trained)
    found = model.predict(tiny.pixels(SUITE["b"].test), domain="b").probabilities
    np.testing.assert_allclose(found, expected(model, "b").numpy(), atol=1e-5)


def test_every_form_of_an_image_gives_the_same(model: mk.Model, photos: list[Path]) -> None:
    pixels = tiny.pixels(SUITE["b"].test)[:1]
    array = pixels[0].permute(1, 2, 0).numpy()
    forms: list[Any] = [
        str(photos[0]),
        photos[0],
        Image.open(photos[0]),
        array,
        array[None],
        array.astype(np.float32) / 255,
        array.astype(np.float64) / 255,
        (array / 255).astype(">f4"),
        np.asfortranarray(array),
        array[::-1][::-1],
        pixels,
        pixels[0],
        pixels.float() / 255,
        pixels.double() / 255,
    ]
    whole = model.predict(pixels, domain="b").probabilities
    for form in forms:
        found = model.predict(form, domain="b")
        assert np.array_equal(found.probabilities, whole), form
    mixed = model.predict([*forms, pixels.expand(3, -1, -1, -1)], domain="b", batch_size=4)
    assert len(mixed) == len(forms) + 3
    np.testing.assert_allclose(mixed.probabilities, np.repeat(whole, len(mixed), 0), atol=1e-6)
    assert mixed.images[:3] == (str(photos[0]), str(photos[0]), "image 2")
    assert mixed.images[-1] == f"image {len(mixed) - 1}"


def test_grey_and_colours_become_what_the_domain_has(model: mk.Model) -> None:
    grey = tiny.pixels(SUITE["a"].test)[0, 0]
    three = grey.expand(3, -1, -1)
    as_grey = model.predict(grey, domain="a").probabilities
    assert np.array_equal(model.predict(three, domain="a").probabilities, as_grey)
    assert np.array_equal(model.predict(grey.numpy(), domain="a").probabilities, as_grey)
    as_colours = model.predict(three, domain="b").probabilities
    assert np.array_equal(model.predict(grey, domain="b").probabilities, as_colours)


def test_another_size_and_mode_is_read_as_the_docstring_says() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 50)
    picture = Image.fromarray(wide)
    middle = torch.tensor([200, 100, 50], dtype=torch.uint8)[:, None, None].expand(3, 8, 4)
    assert torch.equal(of_picture(picture, Fit(8, channels=3))[:, :, 2:-2], middle)
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (of_picture(clear, Fit(8, channels=3)) == 255).all() and (
        of_picture(clear, Fit(8, channels=1)) == 255
    ).all()
    deep = Image.fromarray(np.full((8, 8), 40000, np.uint16))
    assert (of_picture(deep, Fit(8, channels=3)) == 40000 // 256).all()
    palette = picture.quantize(4)
    assert (of_picture(palette, Fit(8, channels=3))[0, :, 4] == 200).all()
    turned = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(turned, "PNG", exif=exif)
    upright = of_picture(Image.open(turned), Fit(8, channels=1))[0]
    assert torch.equal(upright, torch.arange(64).reshape(8, 8).rot90(-1))


def test_the_table_has_the_most_probable_classes_in_order(model: mk.Model) -> None:
    found = model.predict(tiny.pixels(SUITE["b"].test), domain="b", top=9)
    table = found.table
    assert list(table.columns) == ["image", "rank", "label", "probability"]
    assert len(table) == 12 * 4 and table["rank"].tolist() == [1, 2, 3, 4] * 12
    assert table[table["rank"] == 1]["label"].tolist() == list(found.labels)
    of_image = table.groupby("image")["probability"]
    assert of_image.sum().round(5).eq(1).all()
    assert of_image.apply(lambda p: p.is_monotonic_decreasing).all()
    assert "<table" in found._repr_html_() and "12 images" in repr(found)
    assert "<td>b</td>" in model._repr_html_() and repr(model) == "Model(a, b, c)"


NAN = np.full((16, 16), np.nan, np.float32)
WRONG: list[tuple[Any, list[str]]] = [
    ([], ["no images"]),
    (torch.zeros(0, 3, 16, 16), ["shape (0, 3, 16, 16)"]),
    (None, ["None"]),
    (3, ["is 3"]),
    (b"abc", ["b'abc'"]),
    ({"a": 1}, ["{'a': 1}"]),
    ([[1, 2]], ["[1, 2]"]),
    ("nowhere.png", ["nowhere.png", "no such file"]),
    ("", ["path"]),
    (Path(__file__), ["test_model.py", "no image"]),
    (Path(__file__).parent, ["deploy", "directory"]),
    (NAN, ["not finite"]),
    (torch.full((3, 16, 16), float("inf")), ["not finite"]),
    (np.full((16, 16), 7.5), ["7.5", "0 to 1"]),
    (torch.full((16, 16), -0.5), ["-0.5"]),
    (np.zeros((16, 16), np.int64), ["int64", "uint8"]),
    (np.zeros((16, 16), bool), ["bool"]),
    (np.zeros((16, 16), object), ["object"]),
    (np.zeros((16, 16), complex), ["complex"]),
    (torch.zeros(16, 16, dtype=torch.int32), ["int32"]),
    (np.zeros((3, 16, 16), np.uint8), ["(3, 16, 16)", "(H, W, 1 or 3)"]),
    (torch.zeros(16, 16, 3), ["(16, 16, 3)", "(1 or 3, H, W)"]),
    (np.zeros(16, np.uint8), ["(16,)"]),
    (np.zeros((0, 16), np.uint8), ["(0, 16)"]),
    (Image.new("F", (16, 16), 7.0), ["outside of 0 to 1"]),
]


@pytest.mark.parametrize(("inputs", "words"), WRONG, ids=lambda x: str(x)[:20])
def test_what_is_no_image_is_refused_in_a_sentence(
    inputs: Any, words: list[str], model: mk.Model
) -> None:
    for given in (
        (inputs, [tiny.pixels(SUITE["b"].test)[0], inputs])
        if words[0] != "no images"
        else (inputs,)
    ):
        with pytest.raises(mk.MpnasError) as refused:
            model.predict(given, domain="b")
        assert "\n" not in str(refused.value) and len(str(refused.value)) < 500
        assert all(word in str(refused.value) for word in words), refused.value


def test_a_file_that_is_cut_short_is_named(
    model: mk.Model, photos: list[Path], tmp_path: Path
) -> None:
    content = photos[0].read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(mk.MpnasError, match=r"cut\.png is not a usable image"):
        model.predict([photos[0], tmp_path / "cut.png"], domain="b")
    (tmp_path / "drawn.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(mk.MpnasError, match=r"drawn\.eps is not a usable image: it is no"):
        model.predict(tmp_path / "drawn.eps", domain="b")


def test_a_wrong_domain_or_option_is_refused_in_a_sentence(model: mk.Model) -> None:
    image = np.zeros((16, 16), np.uint8)
    for options, words in [
        ({}, "several domains: name one of a, b, c"),
        ({"domain": "bb"}, "did you mean 'b'"),
        ({"domain": 3}, "domain must be text"),
        ({"domain": "b", "top": 0}, "top"),
        ({"domain": "b", "batch_size": 0}, "batch_size"),
        ({"domain": "b", "device": "gpu"}, "gpu"),
    ]:
        with pytest.raises(mk.MpnasError, match=words):
            model.predict(image, **options)  # type: ignore[arg-type]
    for use in (model.classes, model.network, model.signature):
        with pytest.raises(mk.MpnasError, match="did you mean 'c'"):
            use("cc")


def test_changing_a_network_changes_no_prediction(model: mk.Model) -> None:
    image = np.zeros((16, 16), np.uint8)
    before = model.predict(image, domain="a").probabilities
    for parameter in model.network("a").parameters():
        parameter.zero_()
    assert np.array_equal(model.predict(image, domain="a").probabilities, before)


def test_a_run_of_an_earlier_release_says_what_is_missing() -> None:
    old = Path(__file__).parents[1] / "runs" / "release_0_1"
    with pytest.raises(mk.MpnasError, match="does not record how its images") as refused:
        mk.load(old)
    assert "\n" not in str(refused.value)


# Evaluation ---------------------------------------------------------------------------------------


def test_an_evaluation_gives_the_accuracies_of_the_training(model: mk.Model) -> None:
    for split in ("val", "test"):
        found = model.evaluate(SUITE, split, batch_size=5)
        assert found.domains["accuracy"].tolist() == model.result.accuracy(split).tolist()
        assert not found.unmatched
        each = found.classes.groupby("domain", sort=False)
        macro = found.domains["macro_accuracy"].tolist()
        assert each["recall"].mean().tolist() == pytest.approx(macro)
        assert each["images"].sum().tolist() == [12, 12, 12]
    assert "3 domains" in repr(found) and "<table" in found._repr_html_()


def test_classes_are_matched_by_name_and_the_rest_is_said(model: mk.Model) -> None:
    b = SUITE["b"]
    turned = ("class3", "class2", "class1", "class0")
    labels = 3 - b.test.labels
    test = mk.TensorSplit(tiny.pixels(b.test), labels)
    same = mk.DomainSuite((dataclasses.replace(b, classes=turned, test=test),), "turned")
    whole = model.evaluate(SUITE.select(["b"]))
    again = model.evaluate(same)
    assert again.domains.equals(whole.domains) and again.classes.equals(whole.classes)
    assert again.unmatched == ("2 domains of the model are not in the data: a, c.",)
    other = dataclasses.replace(b, classes=("class0", "zebra", "class2", "yak"))
    found = model.evaluate(mk.DomainSuite((other, SUITE["a"]), "other"))
    assert found.domains["images"].tolist() == [6, 12]
    assert found.unmatched == (
        "1 domain of the model is not in the data: c.",
        "domain 'b': 6 images of 2 classes that the model does not have are left out: zebra, yak.",
        "domain 'b': 2 classes of the model have no image: class1, class3.",
    )


def test_images_of_another_size_are_evaluated(model: mk.Model) -> None:
    b = SUITE["b"]
    large = mk.TensorSplit(
        tiny.pixels(b.test).repeat_interleave(2, 2).repeat_interleave(2, 3), b.test.labels
    )
    domain = mk.Domain("b", b.classes, large, large, large)
    found = model.evaluate(mk.DomainSuite((domain,), "large"))
    assert found.domains["images"].tolist() == [12]


def test_an_evaluation_without_a_partner_is_refused(model: mk.Model) -> None:
    with pytest.raises(mk.MpnasError, match="no domain in common"):
        model.evaluate(mk.planted_suite(1, train=64, test=16))
    foreign = dataclasses.replace(SUITE["b"], classes=("w", "x", "y", "z"))
    with pytest.raises(mk.MpnasError, match="no image of split 'test' has a class of the model"):
        model.evaluate(mk.DomainSuite((foreign,), "foreign"))
    with pytest.raises(mk.MpnasError, match="did you mean 'test'"):
        model.evaluate(SUITE, "tests")
    with pytest.raises(mk.MpnasError, match="suite must be"):
        model.evaluate("pocket")  # type: ignore[arg-type]


def test_all_splits_are_evaluated_together(model: mk.Model) -> None:
    parts = [model.evaluate(SUITE, split) for split in ("train", "val", "test")]
    whole = model.evaluate(SUITE, "all")
    assert whole.domains["images"].tolist() == sum(p.domains["images"] for p in parts).tolist()
    right = sum((p.domains["images"] * p.domains["accuracy"]).round() for p in parts)
    assert (whole.domains["images"] * whole.domains["accuracy"]).round().tolist() == right.tolist()
