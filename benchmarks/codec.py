"""`python -m benchmarks codec`: the codec alone, every function of it, in one process.

How it is timed stands in toolboxsio/bench/codec.py.
"""

import os
from pathlib import Path

from toolboxsio.bench import PAYLOADS as SMALL_PAYLOADS
from toolboxsio.bench import codec
from toolboxsio.bench.codec import DOCUMENT_18K, EVENT, Case
from toolboxsio.bench.codecs import CODECS, meaning

from . import records

PAYLOADS = Path(__file__).parent / "payloads"
DOCUMENTS = (DOCUMENT_18K, ("document_292k", "document, 292 KB"))
VALUES = (("text", "text in many scripts"), ("floats", "floats"))


def payloads():
    """{name: path} of all payloads, those of the package among them."""
    paths = [path for folder in (SMALL_PAYLOADS, PAYLOADS) for path in folder.iterdir()]
    return {path.name: path for path in sorted(paths, key=lambda path: path.name)}


def cases():
    """Every case, with its payload read."""
    paths = payloads()
    texts = {path.stem: path.read_text("utf-8") for path in paths.values() if ".json" in path.name}
    yield from codec.event_cases(texts["event"])
    for name, label in DOCUMENTS:
        yield from codec.document_cases(name, label, texts[name])
    for name, label in VALUES:
        yield from codec.value_cases(name, label, texts[name])
    blobs = [path.read_bytes() for path in paths.values() if path.suffix == ".bin"]
    binary = ["upload", {"name": "drawing.png", "part": 3, "preview": blobs[0], "data": blobs[1]}]
    encoded = CODECS["upstream"].encode(EVENT, binary, 7)
    yield Case("binary.encode", "2 attachments: encode", "encode", EVENT, binary, 7, same=meaning)
    yield Case("binary.decode", "2 attachments: decode", "decode", encoded)


def expected_seconds(rounds, samples, seconds):
    """How long a run should take."""
    return len(list(cases())) * len(CODECS) * (rounds * samples + 2) * seconds


def run(rounds, samples, seconds, only="", core=None, progress=records.no_progress):
    """Measures every case whose name contains `only` and returns the record."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    chosen = [case for case in cases() if only in case.name]
    if not chosen:
        raise SystemExit(f"no case is called {only!r}")
    results = codec.run(chosen, rounds, samples, seconds, progress)
    return {
        "kind": "codec",
        **records.environment(),
        "configurations": {name: side.configuration for name, side in CODECS.items()},
        "settings": {
            "rounds": rounds,
            "samples": samples,
            "sample_seconds": seconds,
            "core": core,
        },
        "results": results,
    }
