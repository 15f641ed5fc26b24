"""The command line of the benchmarks."""

import argparse
import sys
from pathlib import Path

from toolboxsio.bench.progress import Course, duration, say

from . import (
    ack,
    churn,
    codec,
    crowd,
    emits,
    everything,
    fairness,
    fanout,
    floods,
    instructions,
    load,
    memory,
    peers,
    polling,
    pubsub,
    readme,
    records,
    report,
    rooms,
    tables,
)


def record_path(name):
    return records.FOLDER / f"{name}.json"


def alone(kind, seconds):
    """The progress of one benchmark that should take so many seconds."""
    course = Course({kind: seconds})
    course.begin(kind)
    return course


def finish(record, name):
    print("\n".join([*tables.lines(record), "", *tables.configurations(record), ""]))
    for side, reason in record.get("not_covered", {}).items():
        say(f"not covered: {side}: {reason}")
    if name is not None:
        path = record_path(name)
        records.write(path, record)
        say(f"record: {path}")
    return 0


def run_codec(args):
    expected = codec.expected_seconds(args.rounds, args.samples, args.sample)
    course = alone("codec", expected)
    record = codec.run(args.rounds, args.samples, args.sample, args.only, args.core, course)
    return finish(record, args.record)


def cores(args):
    return (None, None) if args.no_pin else (load.SERVER_CORE, load.GENERATOR_CORE)


def run_acks(args):
    """One of the benchmarks of acknowledgements."""
    loops = (args.loop,) if args.loop else peers.LOOPS
    settings = (args.rounds, args.seconds, args.warmup, args.sides, loops)
    course = alone(args.kind, args.module.expected_seconds(*settings))
    return finish(args.module.run(*settings, cores(args), course), args.record)


def run_memory(args):
    settings = (args.rounds, args.clients, args.idle_seconds, args.sides)
    course = alone("memory", memory.expected_seconds(*settings))
    return finish(memory.run(*settings, args.loop, cores(args), course), args.record)


def run_churn(args):
    settings = (args.rounds, args.clients, args.sides)
    course = alone("churn", churn.expected_seconds(*settings))
    return finish(churn.run(*settings, args.loop, cores(args), course), args.record)


def run_fairness(args):
    """Measures, tells which floods are above their bound, and with --check fails for them."""
    rounds, seconds, chosen = args.rounds, args.seconds, args.floods
    if args.quick:
        rounds, seconds, chosen = 1, fairness.QUICK_SECONDS, chosen or floods.QUICK
    chosen = chosen or tuple(floods.FLOODS)
    expected = fairness.expected_seconds(rounds, seconds, chosen, args.sides)
    course = alone("fairness", expected)
    record = fairness.run(rounds, seconds, chosen, args.sides, args.loop, cores(args), course)
    finish(record, args.record)
    lines, broken = fairness.verdict_lines(record)
    print("\n".join(lines))
    return 1 if args.check and broken else 0


def run_emits(args):
    """One of the benchmarks of emits, whose loads are the options of its own."""
    loops = (args.loop,) if args.loop else peers.LOOPS
    own = {"sizes": args.clients} if args.module is fanout else {}
    settings = (args.rounds, args.seconds, args.warmup, args.sides, loops)
    course = alone(args.kind, args.module.expected_seconds(*settings, **own))
    return finish(args.module.run(*settings, cores(args), course, **own), args.record)


def run_all(args):
    """Every benchmark, or those that are asked for."""
    all_parts = everything.parts(args.quick)
    unknown = [kind for kind in args.only or () if kind not in all_parts]
    if unknown:
        raise SystemExit(f"no such benchmark: {', '.join(unknown)}: {', '.join(all_parts)}")
    chosen = {kind: all_parts[kind] for kind in all_parts if kind in (args.only or all_parts)}
    folder = args.folder or (everything.QUICK_FOLDER if args.quick else records.FOLDER)
    expected = everything.expected(chosen)
    say(f"{', '.join(chosen)}: about {duration(sum(expected.values()))}")
    lines = everything.run(chosen, cores(args), folder, Course(expected), say)
    print("\n".join(lines))
    return 0


def run_report(args):
    found = [record_path(kind) for kind in tables.TABLES if record_path(kind).exists()]
    print("\n".join(report.lines({path: records.read(path, path.stem) for path in found})))
    return 0


def run_charts(args):
    from . import charts

    found = [record_path(kind) for kind in tables.TABLES if record_path(kind).exists()]
    made = {path.stem: records.read(path, path.stem) for path in found}
    for path in charts.write(made, args.folder or records.FOLDER):
        say(f"charts: {path}")
    return 0


def run_readme(args):
    paths = {kind: record_path(getattr(args, kind)) for kind in tables.TABLES}
    try:
        same = readme.run(args.file, paths, args.check)
    except ValueError as problem:
        raise SystemExit(f"{args.file}: {problem}") from None
    if args.check and not same:
        say(f"{args.file} does not say what its records say: python -m benchmarks readme")
        return 1
    return 0


def run_instructions(args):
    return instructions.run(args.record, say)


def names(text):
    return tuple(text.split(","))


def sizes(text):
    return tuple(int(word) for word in text.split(","))


def add_load_options(command, rounds):
    command.add_argument("--rounds", type=int, default=rounds, help=f"of all sides ({rounds})")
    command.add_argument("--seconds", type=float, default=4.0, help="measured for each load (4)")
    command.add_argument("--warmup", type=float, default=1.0, help="seconds before that (1)")
    command.add_argument("--loop", choices=peers.LOOPS, help="only this event loop")


def add_acks(commands):
    """The commands of the benchmarks of acknowledgements."""
    two = commands.add_parser("ack", help="real servers under load: ours and its peers")
    two.set_defaults(kind="ack", module=ack, sides=tuple(peers.COMPARED))
    three = commands.add_parser("polling", help="the same by HTTP long-polling")
    three.set_defaults(kind="polling", module=polling, sides=polling.SIDES)
    for command in (two, three):
        add_load_options(command, rounds=5)
        command.set_defaults(run=run_acks)
    return two, three


def add_emits(commands):
    """The commands of the benchmarks of emits."""
    four = commands.add_parser("fanout", help="events to everybody: to 10, 500 and 5,000 clients")
    four.add_argument(
        "--clients", type=sizes, default=fanout.SIZES, metavar="N,M", help="(10,500,5000)"
    )
    four.set_defaults(kind="fanout", module=fanout, sides=emits.SIDES)
    five = commands.add_parser("rooms", help="events to rooms of one client")
    five.set_defaults(kind="rooms", module=rooms, sides=emits.SIDES)
    six = commands.add_parser("redis", help="events to rooms of one client, through a Redis")
    six.set_defaults(kind="redis", module=pubsub, sides=pubsub.SIDES)
    for command in (four, five, six):
        add_load_options(command, rounds=5)
        command.set_defaults(run=run_emits)
    return four, five, six


def add_crowds(commands):
    """The commands of the benchmarks of many clients."""
    memory_command = commands.add_parser("memory", help="idle clients: memory and CPU")
    memory_command.add_argument(
        "--idle-seconds", type=float, default=30.0, help="that they stay (30)"
    )
    memory_command.set_defaults(run=run_memory)
    memory_command.set_defaults(sides=crowd.SIDES)
    churn_command = commands.add_parser(
        "churn", help="clients that connect and leave, on each transport"
    )
    churn_command.set_defaults(run=run_churn, sides=churn.SIDES)
    for command, rounds in ((memory_command, 3), (churn_command, 5)):
        command.add_argument(
            "--rounds", type=int, default=rounds, help=f"starts of each server ({rounds})"
        )
        command.add_argument("--clients", type=int, default=everything.CLIENTS, help="(5000)")
        command.add_argument("--loop", choices=peers.LOOPS, default=crowd.LOOP)
    return memory_command, churn_command


def add_fairness(commands):
    command = commands.add_parser("fairness", help="honest clients beside one that floods")
    command.add_argument(
        "--floods", type=names, metavar="A,B", help=f"of {','.join(floods.FLOODS)}"
    )
    command.add_argument("--rounds", type=int, default=fairness.ROUNDS, help="(3)")
    command.add_argument(
        "--seconds", type=float, default=fairness.SECONDS, help="that a flood lasts (1)"
    )
    command.add_argument("--loop", choices=peers.LOOPS, default=fairness.LOOP)
    command.add_argument("--quick", action="store_true", help="some floods, one short round")
    command.add_argument(
        "--check", action="store_true", help="status 1 when one of ours is above its bound"
    )
    command.set_defaults(run=run_fairness, sides=fairness.SIDES)
    return command


def add_texts(commands):
    """The commands that show what records say."""
    tell = commands.add_parser("readme", help="write the tables of README.md from the records")
    for kind in tables.TABLES:
        tell.add_argument(f"--{kind}", default=kind, metavar="NAME", help=f"record to use ({kind})")
    tell.add_argument("--file", type=Path, default=records.ROOT / "README.md")
    tell.add_argument(
        "--check", action="store_true", help="write nothing; status 1 when it differs"
    )
    tell.set_defaults(run=run_readme)
    commands.add_parser("report", help="print what all records say").set_defaults(run=run_report)
    count = commands.add_parser("instructions", help="of the C path, beside those of the record")
    count.add_argument("--record", action="store_true", help="write it instead")
    count.set_defaults(run=run_instructions)
    draw = commands.add_parser("charts", help="draw the records: charts.svg and charts.png")
    draw.add_argument("--folder", type=Path, help="where to (benchmarks/results)")
    draw.set_defaults(run=run_charts)


def add_all(commands):
    command = commands.add_parser("all", help="all of these, one after the other, with records")
    command.add_argument(
        "--quick", action="store_true", help="few clients, short loads; records to build/benchmarks"
    )
    command.add_argument("--only", type=names, metavar="A,B", help="only these of the benchmarks")
    command.add_argument("--folder", type=Path, help="of the records (benchmarks/results)")
    command.set_defaults(run=run_all)
    return command


def parser():
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="command")
    every = add_all(commands)

    one = commands.add_parser("codec", help="encode and decode, beside python-socketio and orjson")
    one.add_argument("--rounds", type=int, default=5, help="(5)")
    one.add_argument("--samples", type=int, default=6, help="of each side in a round (6)")
    one.add_argument("--sample", type=float, default=0.01, help="seconds of a sample (0.01)")
    one.add_argument("--only", default="", help="only cases whose name contains this")
    one.add_argument("--core", type=int, help="run on this core")
    one.set_defaults(run=run_codec)

    acks = add_acks(commands)
    with_sides = (*acks, *add_emits(commands), *add_crowds(commands), add_fairness(commands))
    for command in with_sides:
        sides = ",".join(command.get_default("sides"))
        command.add_argument("--sides", type=names, metavar="A,B", help=f"only these of {sides}")
    for command in (every, *with_sides):
        command.add_argument(
            "--no-pin", action="store_true", help="any core for server and generator"
        )
    for command in (one, *with_sides):
        command.add_argument("--record", metavar="NAME", help="write benchmarks/results/NAME.json")
    add_texts(commands)
    return top


def main():
    args = parser().parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
