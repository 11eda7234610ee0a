"""Writes recipe.yaml for conda-forge from conda/recipe.yaml.in and a source distribution.

    python tools/conda_recipe.py dist/quantized_rnn-X.Y.Z.tar.gz --maintainer NAME [--output recipe.yaml]

The version and the checksum are those of the file, so it has to be the one that was published.
"""

import argparse
import hashlib
from pathlib import Path

from packaging.utils import parse_sdist_filename

TEMPLATE = Path(__file__).resolve().parent.parent / "conda" / "recipe.yaml.in"


def recipe(source, maintainer):
    text = TEMPLATE.read_text(encoding="utf-8").partition("\n")[2]  # but for the line about the template
    values = {
        "@VERSION@": str(parse_sdist_filename(source.name)[1]),
        "@SHA256@": hashlib.sha256(source.read_bytes()).hexdigest(),
        "@MAINTAINER@": maintainer,
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--maintainer", required=True, help="a name on GitHub")
    parser.add_argument("--output", type=Path, default=Path("recipe.yaml"))
    options = parser.parse_args()
    options.output.write_text(recipe(options.source, options.maintainer), encoding="utf-8")


if __name__ == "__main__":
    main()
