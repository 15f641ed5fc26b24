"""Fails every call that allocates, one by one (`make nomem`; run in a tree that build.py has made).

    python -m tests.nomem              each site when it is come to first, and the second time
    python -m tests.nomem --all        in several scenarios, early and late, once and from then on
    python -m tests.nomem NAME...      sites whose name (file:line function) contains one of these

After each failure: it is told (an exception, a report, a connection that ends), or nothing is
missing; never SystemError, a crash or a hang; no connection is left, no memory, no reference; and
the same scenario without a failure then gives what it gave before.
"""

import argparse
import faulthandler
import gc
import itertools
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

TOP = Path.cwd()
sys.path[:0] = [str(TOP), str(TOP / "tests" / "unit")]

from tests.nomem.sites import Sites, load  # noqa: E402

nomem = load(TOP)

from tests.nomem import scenarios  # noqa: E402
from tests.nomem.unreached import PASSING, TOLERATED, UNREACHED  # noqa: E402

#: A CLOSE of 1011, by which the client knows whose fault it is, and the end of an ASGI connection.
ENDS = (r"(8, b'\x03\xf3", scenarios.ENDED)
SECONDS = 60  # for one site
GROUP = 20  # sites
SCENARIOS = 3  # for a site
SCENARIOS = 3  # for a site
references = getattr(sys, "gettotalrefcount", None)


class Wrong(Exception):
    """What a run has done that it should not have."""


def texts(told):
    """Exceptions as text, with what they came from."""
    found = []
    for one in told:
        chain, exc = [], one
        while isinstance(exc, BaseException) and len(chain) < 9:
            chain.append(repr(exc))
            exc = exc.__cause__ or exc.__context__
        found.append(" <- ".join(chain) or str(one))
    return found


def differences(seen, expected):
    """Where two texts differ."""
    pairs = enumerate(zip(seen, expected, strict=False))
    start = next((at for at, (one, other) in pairs if one != other), min(len(seen), len(expected)))
    start = max(start, 40)
    return f"saw …{seen[start - 40 : start + 200]}…, not …{expected[start - 40 : start + 200]}…"


class Trial:
    """One scenario and what it gives when nothing fails."""

    def __init__(self, name):
        self.name = name
        self.theatre = scenarios.Theatre(name)
        for _ in range(2):
            self.expected = self.theatre.play()
            self.usual = Counter(texts(self.theatre.take_told()))
            self.theatre.left()
        gc.collect()
        self.blocks = nomem.state()[1]

    def check(self, fail, for_good=False, is_tolerated=False):
        """A run in which fail() has let something fail, and one after it. True when it failed."""
        theatre = self.theatre
        fail()
        seen = theatre.play()
        failures, _ = nomem.state()
        cleared = nomem.cleared()
        told = texts(theatre.take_told())  # without what the exceptions hold
        theatre.settle()
        theatre.left()
        told += texts(theatre.take_told())
        left = theatre.left()
        told = list((Counter(told) - self.usual).elements())
        said = f"told {told}, cleared at {cleared}"
        if any("SystemError" in text for text in (seen, *told)):
            raise Wrong(f"SystemError: saw {seen}; {said}")
        is_told = bool(told) or "MemoryError" in seen
        is_told = is_told or any(seen.count(x) > self.expected.count(x) for x in ENDS)
        if failures and seen != self.expected and not is_told and not is_tolerated:
            raise Wrong(f"lost in silence: {differences(seen, self.expected)}; {said}")
        if for_good:  # who could not be told to go, stays
            left.pop("stays", None)
        if left:
            raise Wrong(f"left: {left}; {said}")
        self.check_blocks(fail, said)
        again = theatre.play()
        told = texts(theatre.take_told())
        theatre.left()
        told += texts(theatre.take_told())
        if again != self.expected or Counter(told) != self.usual:
            raise Wrong(f"afterwards: {differences(again, self.expected)}; told {told}; {said}")
        return failures > 0

    def check_blocks(self, fail, said):
        """Memory that is kept from now on is no leak; what more is kept each time, is."""
        counts = [nomem.state()[1]]
        while counts[-1] > self.blocks and len(counts) < 4:
            fail()
            self.clean_up()
            counts.append(nomem.state()[1])
        if len(counts) == 4 and sorted(set(counts)) == counts:
            raise Wrong(f"more blocks each time: {counts}; {said}")
        self.blocks = max(self.blocks, counts[-1])

    def clean_up(self):
        """A run that nobody looks at."""
        self.theatre.play()
        nomem.state()
        self.theatre.take_told()
        self.theatre.settle()
        self.theatre.left()
        self.theatre.take_told()
        gc.collect()

    def check_references(self, fail):
        """Nothing is kept by failing again and again."""
        usual = max(0, self.growth(lambda: None))  # less: what was older has gone meanwhile
        grown = self.growth(fail)
        if grown > usual:
            raise Wrong(f"{grown - usual} references are kept each time")

    def growth(self, fail):
        """References that a run adds; the least of some runs: caches grow too."""
        counts = [0] * 5
        for number in range(len(counts)):
            fail()
            self.clean_up()
            sys._clear_type_cache()
            counts[number] = references()
        return min(after - before for before, after in itertools.pairwise(counts))


def isolated(function, *args, seconds=SECONDS):
    """Call in a process of its own: (result, error)."""
    with tempfile.TemporaryFile() as out:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.dup2(out.fileno(), 2)
                faulthandler.enable()
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                faulthandler.register(signal.SIGALRM, chain=True)  # says where it hangs
                signal.alarm(seconds)
                try:
                    result = [function(*args), None]
                except Wrong as exc:
                    result = [None, str(exc)]
                os.write(out.fileno(), b"\0" + json.dumps(result).encode())
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        said, _, result = out.read().rpartition(b"\0")
        if status == 0 and result:
            return json.loads(result)
        return None, f"died ({status}): {(said or result).decode(errors='replace')[-3000:]}"


def hits_of(name):
    """How often each site is come to in a scenario, and how long that takes."""
    theatre = scenarios.Theatre(name)
    theatre.play()
    before, began = Sites(nomem), time.monotonic()
    theatre.play()
    return Sites(nomem).since(before), time.monotonic() - began


def variants(site, hits, thorough):
    """(skip, stays) of the failures to be tried at a site.

    PyIter_Send needs no memory of its own: it fails as what it runs fails, once.
    """
    if site.function == "PyIter_Send":
        return [(0, False)]
    if not thorough:
        return [(skip, False) for skip in range(min(hits, 2))]
    found = [(skip, False) for skip in sorted({0, hits - 1})]
    if not any(site.is_like(key) for key in PASSING):
        found.append((0, True))
    return found


def fail_site(trial, site, hits, thorough):
    """Runs of a scenario in which a site fails: how many."""
    n = 0
    trial.theatre.forked()
    is_tolerated = any(site.is_like(key) for key in TOLERATED)
    for skip, stays in variants(site, hits, thorough):

        def fail(skip=skip, stays=stays):
            nomem.choose(site.places, skip, stays)

        try:
            n += trial.check(fail, stays, is_tolerated)
            if references is not None and thorough and (skip, stays) == (0, False):
                trial.check_references(fail)
        except Wrong as exc:
            how = f"{trial.name}, after {skip}{', for good' if stays else ''}"
            raise Wrong(f"{how}: {exc}") from None
    return n


def fail_sites(name, sites, thorough):
    """The same for several sites, each in a process of its own: [(site name, runs, error)]."""
    gc.collect()
    gc.freeze()  # what was there before need not be looked at
    trial = Trial(name)
    return [
        (site.name, *isolated(fail_site, trial, site, *sites[site], thorough)) for site in sites
    ]


def spread(jobs, workers):
    """Calls of isolated(), in several processes: [(job, result, error)]."""
    files = [tempfile.TemporaryFile("w+") for _ in range(workers)]  # noqa: SIM115 (closed below)
    pids = []
    for number, file in enumerate(files):
        pid = os.fork()
        if pid == 0:
            for index in range(number, len(jobs), workers):
                file.write(
                    json.dumps([index, *isolated(*jobs[index], seconds=SECONDS * GROUP)]) + "\n"
                )
                file.flush()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    found = []
    for file in files:
        file.seek(0)
        found += [json.loads(line) for line in file]
        file.close()
    return sorted(found)


def find_plays(workers):
    """Scenarios by site, the quick ones first: {site name: [(scenario, hits)]}."""
    plays = {}
    jobs = [(hits_of, name) for name in scenarios.NAMES]
    for index, result, error in spread(jobs, workers):
        if error is not None:
            raise SystemExit(f"{scenarios.NAMES[index]} without a failure: {error}")
        for site, count in result[0].items():
            plays.setdefault(site, []).append((result[1], scenarios.NAMES[index], count))
    return {site: [play[1:] for play in sorted(found)] for site, found in plays.items()}


def jobs_of(pairs, thorough):
    """Jobs of about one size, from [(site, scenario, hits)]."""
    groups = {}
    for site, name, hits in pairs:
        groups.setdefault(name, []).append((site, hits))
    jobs = []
    for name, sites in groups.items():
        for start in range(0, len(sites), GROUP):
            part = {site: (hits,) for site, hits in sites[start : start + GROUP]}
            jobs.append((fail_sites, name, part, thorough))
    return jobs


class Results:
    """What became of the sites."""

    def __init__(self):
        self.failed = set()
        self.runs = 0
        self.wrong = []

    def add(self, results):
        for _, result, error in results:
            if error is not None:
                self.wrong.append(error)
            for name, runs, wrong in result or ():
                self.runs += runs or 0
                if wrong is not None:
                    self.wrong.append(f"{name}: {wrong}")
                if runs or wrong:
                    self.failed.add(name)


def run_all(chosen, plays, workers):
    """Each site in several scenarios."""
    results = Results()
    pairs = [(site, *play) for site in chosen for play in plays[site.name][:SCENARIOS]]
    results.add(spread(jobs_of(pairs, True), workers))
    return run_once(chosen, plays, workers, results)


def run_once(chosen, plays, workers, results=None):
    """Each site that has not failed yet, in the first scenario in which it comes to fail."""
    results = results or Results()
    for number in range(max(map(len, plays.values()))):
        pairs = [
            (site, *plays[site.name][number])
            for site in chosen
            if site.name not in results.failed and number < len(plays[site.name])
        ]
        if pairs:
            results.add(spread(jobs_of(pairs, False), workers))
    return results


def unreached(sites, failed):
    """Complaints about sites that have not failed, and about the list of those that need not."""
    wrong = []
    used = set()
    for site in sites:
        excuse = next((key for key in UNREACHED if site.is_like(key)), None)
        if site.name not in failed and excuse is None and not site.has_room:
            wrong.append(f"{site.name}: has never failed: {site.text}")
        elif site.name not in failed and excuse is not None:
            used.add(excuse)
    wrong += [f"{key}: need not be on the list of the unreached" for key in UNREACHED.keys() - used]
    return wrong


def report(sites, failed, runs, seconds):
    for floor in sorted({site.floor for site in sites}):
        here = [site for site in sites if site.floor == floor]
        n = sum(site.name in failed for site in here)
        rest = sum(site.name not in failed and not site.has_room for site in here)
        room = sum(site.has_room for site in here)
        print(
            f"{floor:<8} {len(here):4} sites {n:4} failed {room:3} need no memory {rest:3} excused"
        )
    print(f"{len(sites)} sites, {len(failed)} failed, {runs} runs, {seconds:.0f} s")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.nomem")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.monotonic()
    workers = os.cpu_count() or 1
    sites = Sites(nomem).sites
    plays = find_plays(workers)
    chosen = [
        site
        for site in sites
        if site.name in plays
        and not site.has_room
        and (not options.names or any(name in site.name for name in options.names))
    ]
    results = (run_all if options.all else run_once)(chosen, plays, workers)
    if not options.names:
        results.wrong += unreached(sites, results.failed)
    for text in results.wrong:
        print(text)
    report(sites, results.failed, results.runs, time.monotonic() - began)
    return 1 if results.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
