"""atheris on a reader: whatever the bytes, they are refused by FormatError or load, in bounded memory and time.

    python tests/fuzz/fuzz_files.py ENDING FOLDER [OPTION ...]

ENDING is that of a format's files: .safetensors, .onnx, .keras, .h5, .tflite or .pt. What libFuzzer finds new is kept
in FOLDER/found and begins the next run; what fails is left in FOLDER. OPTION is one of libFuzzer, such as
``-max_total_time=60``, or a file, which is tried alone. Exit status 3: a package is not installed.

Half of the inputs are changed bit by bit, by what libFuzzer makes of comparisons and branches; the others as
tests/check/files changes them, which keeps checksums, texts and tables in order, so that they come further.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import atheris

#: Seconds and MiB, of which libFuzzer itself reports more than that; `load` has narrower limits.
LIMITS = ("-timeout=20", "-rss_limit_mb=3000")


def main():
    ending, folder, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["qrnn"], enable_loader_override=False):
        from support import mutated_formats

        missing = mutated_formats.lacking(ending)
        if missing:
            print(f"{ending}: {', '.join(missing)} is not installed")
            sys.exit(3)
        module, path = mutated_formats.module_of(ending), Path(folder) / f"fuzzed{ending}"
        begin = [content for content, *_ in module.BEGIN[ending]()]
        for content in begin:  # which imports what readers import
            path.write_bytes(content)
            module.read(path)
    found, corpus = Path(folder) / "found" / ending, Path(folder) / "corpus" / ending
    for each in (found, corpus):
        each.mkdir(parents=True, exist_ok=True)
    for content in begin:
        assert module.load(path, content) == "loaded"
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)

    def changed(content, most, seed):
        rng = random.Random(seed)
        if content and rng.random() < 0.5:
            try:
                other = rng.choice(module.MUTATIONS)(rng, content)
            except Exception:  # they change whole files, and this one is damaged
                other = b""
            if 0 < len(other) <= most:
                return other
        return atheris.Mutate(content, most)

    folders = [] if any(Path(each).is_file() for each in options) else [str(found), str(corpus)]
    size = 2 * max(map(len, begin))
    atheris.Setup(
        [sys.argv[0], *LIMITS, f"-max_len={size}", f"-artifact_prefix={folder}/", *options, *folders],
        lambda content: module.load(path, content),
        custom_mutator=changed,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
