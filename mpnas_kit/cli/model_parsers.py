"""The options of the commands that use a trained model: `predict`, `evaluate`, `export`."""

import argparse

from mpnas_kit.cli.parsers import Parser, data_options
from mpnas_kit.deploy.exporting import MAX_LOSS, NOT_STATED
from mpnas_kit.deploy.formats import format_table
from mpnas_kit.deploy.int8 import LEAST


def predict_parser() -> Parser:
    """Return the parser of `mpnas predict`."""
    parser = Parser(
        prog="mpnas predict",
        description="Classify image files with a trained run. Training images are not needed.",
        allow_abbrev=False,
    )
    _model_options(parser)
    parser.add_argument(
        "--domain",
        metavar="NAME",
        help="domain of the images; auto: one is chosen for every image (default: the only one "
        "of the run)",
    )
    parser.add_argument(
        "--top", metavar="K", default="1", help="classes per image, at least 1 (default: 1)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON with the probabilities, not a table"
    )
    parser.add_argument("--csv", metavar="FILE", help="also write the table to this file")
    parser.add_argument(
        "--bad",
        metavar="WHAT",
        default="stop",
        help="what happens if files are no usable images: stop, or skip them (default: stop)",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="image files")
    return parser


def evaluate_parser() -> Parser:
    """Return the parser of `mpnas evaluate`."""
    parser = Parser(
        prog="mpnas evaluate",
        description="Print accuracies of a trained run on labelled images. Domains and classes are "
        "matched by name. What has no partner is said and left out.",
        allow_abbrev=False,
    )
    _model_options(parser)
    data_options(parser, default=None)
    parser.add_argument(
        "--domains", help="names of domains of --data, with commas (default: all of them)"
    )
    parser.add_argument(
        "--split",
        default="test",
        help="train, val, test or all of --data (default: test). Take all for new images without "
        "splits: the kit would test only a part of them",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not tables")
    parser.add_argument("--csv", metavar="FILE", help="also write the recalls of all classes")
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run",
        metavar="FOLDER",
        help="run folder with a finished training, or a file of `mpnas export` (default: "
        "runs/quick)",
    )
    parser.add_argument("--batch-size", metavar="N", default="64", help="images at a time (64)")
    parser.add_argument("--device", help="device in torch (default: a GPU if there is one)")
    parser.add_argument(
        "--trust", action="store_true", help="import the modules that the run folder names"
    )


def export_parser() -> Parser:
    """Return the parser of `mpnas export`."""
    parser = Parser(
        prog="mpnas export",
        description="Write a trained run in a format for other programs, with model cards.\n\n"
        f"{format_table()}\n\n"
        "size: relative to one ONNX file per domain. latency: times of 1 and of 64 images relative "
        "to plain torch.\nBoth are those of ten domains in benchmarks/export.py.\n\n"
        "Files take pixels: normalisation is inside. Each file is compared with torch before it is "
        "written.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--run", metavar="FOLDER", help="run folder with a finished training (default: runs/quick)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="file to write; it ends with .onnx, or .pte for format pte"
    )
    parser.add_argument(
        "--domain", metavar="NAME", help="the only domain to write (default: all domains)"
    )
    parser.add_argument("--format", default="onnx", help="format, see above (default: onnx)")
    data_options(parser, default=None)
    parser.add_argument(
        "--max-loss",
        metavar="X",
        default=str(MAX_LOSS),
        help="most accuracy that onnx-int8 may lose, from 0 to 1; without labels, share of images "
        f"whose class may change (default: {MAX_LOSS})",
    )
    parser.add_argument(
        "--license", metavar="TEXT", default=NOT_STATED, help="licence of the weights, for the card"
    )
    parser.add_argument(
        "--trust", action="store_true", help="import the modules that the run folder names"
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="image files to check with, besides random ones, in place of --data; onnx-int8 needs "
        f"--data, or at least {LEAST} training images of one domain",
    )
    return parser
