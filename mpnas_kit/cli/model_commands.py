"""The commands that use a trained model: `mpnas predict`, `mpnas evaluate`, `mpnas export`."""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import pandas as pd

from mpnas_kit.cli.given_data import given_suite
from mpnas_kit.cli.model_parsers import evaluate_parser, export_parser, predict_parser
from mpnas_kit.cli.parsers import finished_folder
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.deploy.exporting import BOUND, NOT_STATED
from mpnas_kit.deploy.exporting import export as export_files
from mpnas_kit.deploy.formats import Written
from mpnas_kit.deploy.model import AUTO, Model, load
from mpnas_kit.deploy.pixels import unusable
from mpnas_kit.deploy.prediction import AutoPrediction, Prediction
from mpnas_kit.deploy.scores import ALL
from mpnas_kit.domains.cached_suite import Bad
from mpnas_kit.domains.domain import SPLITS
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import exists, write_text
from mpnas_kit.runs.description import RUN, RunDescription, domain_names, place
from mpnas_kit.settings import convert
from mpnas_kit.values import Range

Many = Annotated[int, Range(1, 1_000_000)]


def predict(arguments: Sequence[str]) -> None:
    """Run `mpnas predict`."""
    given = predict_parser().parse(arguments)
    if not given.files:
        raise MpnasError("mpnas predict needs image files: expected FILE... after the options.")
    top, batch_size = convert(given.top, Many, "--top"), _batch_size(given)
    model = _model(given)
    bad = unusable(given.files) if convert(given.bad, Bad, "--bad") == "skip" else {}
    if len(bad) == len(set(given.files)):
        raise MpnasError(f"no file is a usable image: {next(iter(bad.values()))}")
    found: Prediction | AutoPrediction = model.predict(
        [file for file in given.files if file not in bad],
        domain=given.domain,
        top=top,
        batch_size=batch_size,
        device=given.device,
    )
    for sentence in bad.values():
        print(f"left out: {sentence}", file=sys.stderr)
    if given.json:
        _print_json(_as_json(found))
    else:
        table = found.table if top > 1 else found.table.drop(columns="rank")
        print(text_of(_percent(table, "probability")))
    _write_csv(given, found.table)


def evaluate(arguments: Sequence[str]) -> None:
    """Run `mpnas evaluate`."""
    given = evaluate_parser().parse(arguments)
    if given.data is None:
        raise MpnasError("mpnas evaluate needs labelled images: expected --data SUITE.")
    model, batch_size = _model(given), _batch_size(given)
    suite = given_suite(given, domain_names(given.domains))
    assert suite is not None
    found = model.evaluate(suite, given.split, batch_size=batch_size, device=given.device)
    if given.json:
        tables = {n: getattr(found, n).to_dict("records") for n in ("domains", "classes")}
        _print_json({"split": given.split, **tables, "unmatched": list(found.unmatched)})
    else:
        shared = [domain for domain in suite if domain.name in model.domains]
        whole = sum(len(domain.split(name)) for domain in shared for name in SPLITS)
        used = int(found.domains["images"].sum())
        what = "all splits" if given.split == ALL else f"split {given.split!r}"
        print(f"Accuracy on {what}: {used:,} of {whole:,} images of --data.")
        if given.split != ALL:
            print("If the model was trained on none of them, --split all evaluates all of them.")
        print("Macro: mean recall over classes.\n")
        print(text_of(_percent(found.domains, "accuracy", "macro_accuracy")))
        print("\nRecall of every class:\n")
        print(text_of(_percent(found.classes, "recall")))
        for sentence in found.unmatched:
            print(f"\n{sentence}")
    _write_csv(given, found.classes)


def export(arguments: Sequence[str]) -> None:
    """Run `mpnas export`."""
    given = export_parser().parse(arguments)
    if given.out is None:
        raise MpnasError("mpnas export needs a file to write: expected --out FILE.onnx.")
    if given.data is not None and given.images:
        raise MpnasError("mpnas export takes --data or image files, not both.")
    max_loss = convert(given.max_loss, Annotated[float, Range(0, 1)], "--max-loss")
    folder = finished_folder(given.run)
    model = load(folder, trust=given.trust)
    words = ["mpnas export", "--run", folder.name, "--out", pathlib.PurePath(given.out).name]
    words += [] if given.domain is None else ["--domain", given.domain]
    written = export_files(
        model,
        given.out,
        domain=given.domain,
        format=given.format,
        images=given_suite(given, None) or given.images,
        max_loss=max_loss,
        license=given.license,
        data=_data_words(place(folder)),
        command=" ".join([*words, "--format", given.format]),
    )
    _print_written(written)


def _print_written(written: Sequence[Written]) -> None:
    """Print a table of the files, and one of what int8 changed."""
    table = pd.DataFrame(
        [
            {
                "file": str(done.path),
                "domains": len(done.domains),
                "bytes": f"{done.bytes:,}",
                "difference": f"{done.difference:.1e}",
            }
            for done in written
        ]
    )
    print(text_of(table))
    changes = [
        (done.domains[0], *row)
        for done in written
        if done.quantization is not None
        for row in done.quantization.rows
    ]
    if changes:
        columns = ["domain", "measure", "float", "int8"]
        print(f"\n{text_of(pd.DataFrame(changes, columns=columns))}")
    bound = "" if changes else f"; at most {BOUND:g}"
    print(
        f"\ndifference: largest difference of logits from torch{bound}.\n"
        "model cards: beside each file, with its name and .card.md or .card.json"
    )


def _data_words(folder: pathlib.Path) -> str:
    """Return words about the images of a run, without folders of this machine."""
    if not exists(folder / RUN):
        return NOT_STATED
    about = RunDescription.read(folder)
    counts = [f"{domain.name} {domain.train:,}" for domain in about.domains]
    total = sum(domain.train for domain in about.domains)
    return f"{total:,} training images ({', '.join(counts)})"


def _model(given: argparse.Namespace) -> Model:
    return load(finished_folder(given.run), trust=given.trust)


def _batch_size(given: argparse.Namespace) -> int:
    size: int = convert(given.batch_size, Many, "--batch-size")
    return size


def _as_json(found: Prediction | AutoPrediction) -> dict[str, Any]:
    images: list[dict[str, Any]] = [
        {
            "image": str(name),
            "classes": [
                {"label": row.label, "probability": float(row.probability)}
                for row in rows.itertuples()
            ],
        }
        for name, rows in zip(found.images, found.by_image(), strict=True)
    ]
    if isinstance(found, AutoPrediction):
        for image, domain in zip(images, found.domains, strict=True):
            image["domain"] = domain
        return {"domain": AUTO, "images": images}
    return {"domain": found.domain, "images": images}


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))


def _percent(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return table.assign(**{c: table[c].map("{:.1%}".format) for c in columns})


def _write_csv(given: argparse.Namespace, table: pd.DataFrame) -> None:
    if given.csv is not None:
        write_text(place(given.csv, "--csv"), table.to_csv(index=False))
