"""Writes recipe.yaml for conda-forge from conda/recipe.yaml.in and a source distribution.

    python tools/conda_recipe.py dist/quantized_rnn-X.Y.Z.tar.gz --maintainer NAME [--output recipe.yaml] [--check]

The version and the checksum are those of the file, so it has to be the one that was published. With --check
rattler-build renders the recipe for each system as conda-forge would; needs py-rattler-build.
"""

import argparse
import hashlib
from pathlib import Path

from packaging.utils import parse_sdist_filename

PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
# Of the many variants that conda-forge sets, those that the recipe asks for.
VARIANTS = """
python: ["3.13"]
numpy: ["2"]
c_stdlib: [sysroot]
m2w64_c_stdlib: [m2w64-sysroot]
"""
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


def check(text):
    """Raise an error unless the recipe can be rendered for every system; return what each compiles with."""
    import rattler_build

    stage, variants = rattler_build.Stage0Recipe.from_yaml(text), rattler_build.VariantConfig.from_yaml(VARIANTS)
    found = {}
    for platform in PLATFORMS:
        target = rattler_build.RenderConfig(
            rattler_build.PlatformConfig(target_platform=platform, build_platform=platform)
        )
        (made,) = stage.render(variants, target)
        found[platform] = str(made.recipe.requirements.build[0])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--maintainer", required=True, help="a name on GitHub")
    parser.add_argument("--output", type=Path, default=Path("recipe.yaml"))
    parser.add_argument("--check", action="store_true", help="render it for every system")
    options = parser.parse_args()
    text = recipe(options.source, options.maintainer)
    options.output.write_text(text, encoding="utf-8")
    if options.check:
        for platform, compiler in check(text).items():
            print(f"{platform}: compiled by {compiler}")


if __name__ == "__main__":
    main()
