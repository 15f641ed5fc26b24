"""The command line of the benchmarks."""

import argparse
import sys
from pathlib import Path

from . import ack, emits, fanout, load, memory, peers, pubsub, readme, records, rooms, tables


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


def cores(args):
    return (None, None) if args.no_pin else (load.SERVER_CORE, load.GENERATOR_CORE)


def run_ack(args):
    loops = [args.loop] if args.loop else peers.LOOPS
    record = ack.run(
        args.rounds, args.seconds, args.warmup, args.sides, loops, cores(args), progress
    )
    return finish(record, args.record)


def run_memory(args):
    record = memory.run(
        args.rounds,
        args.clients,
        args.idle_seconds,
        args.sides,
        args.loop,
        cores(args),
        progress,
    )
    return finish(record, args.record)


def run_emits(args):
    """One of the benchmarks of emits, whose loads are the options of its own."""
    loops = [args.loop] if args.loop else peers.LOOPS
    own = {"sizes": args.clients} if args.module is fanout else {}
    record = args.module.run(
        args.rounds, args.seconds, args.warmup, args.sides, loops, cores(args), progress, **own
    )
    return finish(record, args.record)


def run_readme(args):
    paths = {kind: record_path(getattr(args, kind)) for kind in tables.TABLES}
    try:
        same = readme.run(args.file, paths, args.check)
    except ValueError as problem:
        raise SystemExit(f"{args.file}: {problem}") from None
    if args.check and not same:
        progress(f"{args.file} does not say what its records say: python -m benchmarks readme")
        return 1
    return 0


def names(text):
    return tuple(text.split(","))


def sizes(text):
    return tuple(int(word) for word in text.split(","))


def add_load_options(command, rounds):
    command.add_argument("--rounds", type=int, default=rounds, help=f"of all sides ({rounds})")
    command.add_argument("--seconds", type=float, default=4.0, help="measured for each load (4)")
    command.add_argument("--warmup", type=float, default=1.0, help="seconds before that (1)")
    command.add_argument("--loop", choices=peers.LOOPS, help="only this event loop")


def add_emits(commands):
    """The commands of the benchmarks of emits."""
    four = commands.add_parser("fanout", help="events to everybody: to 10, 500 and 5,000 clients")
    four.add_argument(
        "--clients", type=sizes, default=fanout.SIZES, metavar="N,M", help="(10,500,5000)"
    )
    four.set_defaults(module=fanout, sides=emits.SIDES)
    five = commands.add_parser("rooms", help="events to rooms of one client")
    five.set_defaults(module=rooms, sides=emits.SIDES)
    six = commands.add_parser("redis", help="events to rooms of one client, through a Redis")
    six.set_defaults(module=pubsub, sides=pubsub.SIDES)
    for command in (four, five, six):
        add_load_options(command, rounds=5)
        command.set_defaults(run=run_emits)
    return four, five, six


def parser():
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="command")

    one = commands.add_parser("codec", help="encode and decode, beside python-socketio and orjson")
    one.add_argument("--rounds", type=int, default=30, help="samples of each side (30)")
    one.add_argument("--sample", type=float, default=0.01, help="seconds of a sample (0.01)")
    one.add_argument("--only", default="", help="only cases whose name contains this")
    one.add_argument("--core", type=int, help="run on this core")
    one.set_defaults(run=run_codec)

    two = commands.add_parser("ack", help="real servers under load: ours and its peers")
    add_load_options(two, rounds=5)
    two.set_defaults(run=run_ack, sides=tuple(peers.SIDES))

    three = commands.add_parser("memory", help="idle clients: memory, CPU, connect and disconnect")
    three.add_argument("--rounds", type=int, default=3, help="starts of each server (3)")
    three.add_argument("--clients", type=int, default=5000, help="(5000)")
    three.add_argument("--idle-seconds", type=float, default=30.0, help="that they stay (30)")
    three.add_argument("--loop", choices=peers.LOOPS, default=memory.LOOP, help=f"({memory.LOOP})")
    three.set_defaults(run=run_memory, sides=memory.SIDES)

    of_emits = add_emits(commands)
    for command in (two, three, *of_emits):
        sides = ",".join(command.get_default("sides"))
        command.add_argument("--sides", type=names, metavar="A,B", help=f"only these of {sides}")
        command.add_argument(
            "--no-pin", action="store_true", help="any core for server and generator"
        )

    for command in (one, two, three, *of_emits):
        command.add_argument("--record", metavar="NAME", help="write benchmarks/records/NAME.json")

    tell = commands.add_parser("readme", help="write the tables of README.md from the records")
    for kind in tables.TABLES:
        tell.add_argument(f"--{kind}", default=kind, metavar="NAME", help=f"record to use ({kind})")
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
