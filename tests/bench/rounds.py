"""What the benchmarks of this folder share: they measure the same in several rounds, where the ones that
are compared take turns in being first. Ratios are taken within each round, because the machine is not the
same in the next, and their median is what counts. A result is an object with `round`, `rate` and whatever
else is told of it; `which` names results by some of their members. Importing this makes `harness` known."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness.server_folder import die_with_parent  # noqa: E402


def parser(description, rounds, quick_rounds=1):
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--build", required=True, help="the build folder", type=os.path.abspath)
    result.add_argument("--rounds", type=int, help="%d, or %d with --quick" % (rounds, quick_rounds))
    result.add_argument("--quick", action="store_true", help="shorter measurements")
    result.set_defaults(usual_rounds=(rounds, quick_rounds))
    return result


def parse(which):
    """The options of such a parser; from here on a polite end cleans up."""
    options = which.parse_args()
    options.asked_rounds, options.rounds = options.rounds, options.rounds or options.usual_rounds[options.quick]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return options


def output(*command, environment=None, timeout=300):
    """What a program prints; its end must be a good one."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        preexec_fn=die_with_parent, timeout=timeout, text=True)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (os.path.basename(command[0]), done.stderr.strip()))
    return done.stdout


def run(*command, **how):
    """One of our programs; returns the JSON that it printed."""
    return json.loads(output(*command, **how))


def turns(number, *those):
    """In which order they come in a round, the first being 0."""
    return those if number % 2 == 0 else those[::-1]


def collect(results):
    """Prints each as a line of JSON as soon as it is there."""
    collected = []
    for result in results:
        print(json.dumps(result), flush=True)
        collected.append(result)
    return collected


def having(results, **which):
    return [result for result in results if all(result.get(name) == value for name, value in which.items())]


def median(results, key, **which):
    return statistics.median(result[key] for result in having(results, **which))


def ratio(results, one, other, key="rate"):
    """The median over the rounds of the ratio of two that are named by some of their members."""
    ours, theirs = ({result["round"]: result[key] for result in having(results, **which)} for which in (one, other))
    return statistics.median(ours[number] / theirs[number] for number in ours)


def print_medians(title, results, rows, columns):
    """A table: of each row its name and which results it is of, of each column its title and their key."""
    first, widths = max(len(name) for name, _ in rows), [max(len(name), 9) for name, _ in columns]
    print("\n%s, medians" % title)
    print(" " * first, *(name.rjust(width) for (name, _), width in zip(columns, widths)))
    for name, which in rows:
        values = [median(results, key, **which) for _, key in columns]
        print(name.ljust(first), *("%*.1f" % (width, value) for width, value in zip(widths, values)))
    print()


def judge(*goals):
    """Prints each goal with its figure; true if all are met. A goal is a text, a value, ">=" or "<=", and the
    bound."""
    all_met = True
    for text, value, relation, bound in goals:
        met = value >= bound if relation == ">=" else value <= bound
        all_met &= met
        print("goal %s: %.3f, %s %g: %s" % (text, value, relation, bound, "met" if met else "missed"))
    return all_met
