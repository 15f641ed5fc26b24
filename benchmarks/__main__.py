"""The command line of the benchmarks."""

import argparse
import sys
from pathlib import Path

from . import readme, records, tables


def progress(line):
    print(line, file=sys.stderr, flush=True)


def record_path(name):
    return records.FOLDER / f"{name}.json"


def finish(record, name):
    print("\n".join([*tables.lines(record), ""]))
    if name is not None:
        path = record_path(name)
        records.write(path, record)
        progress(f"record: {path}")
    return 0


def run_codec(args):
    from . import codec

    record = codec.run(args.rounds, args.sample, args.only, args.core, progress)
    return finish(record, args.record)


def run_ack(args):
    from . import ack

    cores = (None, None) if args.no_pin else (ack.SERVER_CORE, ack.GENERATOR_CORE)
    loops = [args.loop] if args.loop else ack.LOOPS
    record = ack.run(args.rounds, args.seconds, args.warmup, loops, cores, progress)
    return finish(record, args.record)


def run_readme(args):
    paths = {"codec": record_path(args.codec), "ack": record_path(args.ack)}
    same = readme.run(args.file, paths, args.check)
    if args.check and not same:
        progress(f"{args.file} does not say what its records say: python -m benchmarks readme")
        return 1
    return 0


def parser():
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="command")

    codec = commands.add_parser(
        "codec", help="encode and decode, beside python-socketio and orjson"
    )
    codec.add_argument("--rounds", type=int, default=30, help="samples of each side (30)")
    codec.add_argument("--sample", type=float, default=0.01, help="seconds of a sample (0.01)")
    codec.add_argument("--only", default="", help="only cases whose name contains this")
    codec.add_argument("--core", type=int, help="run on this core")
    codec.set_defaults(run=run_codec)

    ack = commands.add_parser("ack", help="a real server under load, beside python-socketio")
    ack.add_argument("--rounds", type=int, default=5, help="starts of each server (5)")
    ack.add_argument("--seconds", type=float, default=4.0, help="measured for each load (4)")
    ack.add_argument("--warmup", type=float, default=1.0, help="seconds before that (1)")
    ack.add_argument("--loop", choices=("uvloop", "asyncio"), help="only this event loop")
    ack.add_argument("--no-pin", action="store_true", help="any core for server and generator")
    ack.set_defaults(run=run_ack)

    for command in (codec, ack):
        command.add_argument("--record", metavar="NAME", help="write benchmarks/records/NAME.json")

    tell = commands.add_parser("readme", help="write the tables of README.md from the records")
    tell.add_argument("--codec", default="codec", metavar="NAME", help="record to use (codec)")
    tell.add_argument("--ack", default="ack", metavar="NAME", help="record to use (ack)")
    tell.add_argument("--file", type=Path, default=records.ROOT / "README.md")
    tell.add_argument(
        "--check", action="store_true", help="write nothing; status 1 when it differs"
    )
    tell.set_defaults(run=run_readme)
    return top


def main():
    args = parser().parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
