#!/usr/bin/python3
"""What looking after many open transfers costs: 100,000 of several messages each, an hour after
their last progress, so that each mailbox is looked at every three minutes. For ./dev bench; prints
one JSON object a round, then a table.

transfers.c fills the stores of a gateway and of a relay; then both run, with the relay client
between them, and nothing happens but looks. Counted are user and system time and the memory of
vestibuled and vestibule-relay-client together. `reads` is what the relay counted in that time.

Goals: at most 5 % of one core, and at most 64 MiB, medians over the rounds. Status 0: it was
measured, and both are met.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import rounds
from bench import processor_seconds
from harness.vestibule import Site, hotel_policy, wait_until

INTERVAL = 180  # seconds between two looks at that age
CORE_MAX, MEMORY_MAX = 0.05, 64.0
LOOKS_MIN, LOOKS_MAX = 0.85, 1.15
PROGRAMS = ("vestibuled", "relay-client")


def memory_mib(pid, name):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no %s of %d" % (name, pid))


def fill(site, count):
    os.makedirs(site.state, 0o700, exist_ok=True)
    with open(os.path.join(site.credentials, "relay-main", "relay-key.pub")) as file:
        kid = json.load(file)["keys"][0]["kid"]
    subprocess.run(
        [site.program("tests", "bench", "transfers"), site.state,
         os.path.join(site.credentials, "root.key"), kid, site.relay.state, site.relay.url,
         str(count)],
        check=True, stdin=subprocess.DEVNULL)


def reads(site):
    """How many reads the relay has answered, as its log says."""
    count = 0
    with open(site.relay.log) as file:
        for line in file:
            count += "op=ReadSecureContent" in line and "status=200" in line
    return count


def measure(site, seconds):
    pids = {"vestibuled": site.gateway.pid, "relay-client": site.children()["main"]}
    wait_until(lambda: reads(site) > 0, 60, "the first look")
    time.sleep(INTERVAL / 18)  # past the start, at the usual pace
    before = {name: processor_seconds(pid) for name, pid in pids.items()}
    n_before, begin = reads(site), time.monotonic()
    time.sleep(seconds)
    took, n = time.monotonic() - begin, reads(site) - n_before
    result = {"seconds": round(took, 1), "reads": n, "reads_per_second": round(n / took, 1)}
    for name, pid in pids.items():
        used = processor_seconds(pid) - before[name]
        result[name] = {
            "core": round(used / took, 4), "usec_per_read": round(1e6 * used / max(n, 1), 1),
            "memory_mib": round(memory_mib(pid, "VmRSS"), 1),
            "memory_peak_mib": round(memory_mib(pid, "VmHWM"), 1),
        }
    return result


def measure_once(build, count, seconds):
    site = Site(
        build, log_level="warning",
        policies=hotel_policy("echo").replace("code = D9", "code = D9\n  access_rights = RWD"),
        relay_options=["--rate", "0", "--connections-per-address", "4096"])
    fill(site, count)
    with site:
        return measure(site, seconds)


def judge(results, count):
    """Each goal with its figure; true if all are met."""

    def median(key):
        return statistics.median(sum(result[name][key] for name in PROGRAMS) for result in results)

    due = count / (INTERVAL * 1.1)  # a fifth of each interval is chance
    looks = statistics.median(result["reads_per_second"] for result in results) / due
    return rounds.judge(
        ("core that %d open transfers take, an hour old" % count, median("core"), "<=", CORE_MAX),
        ("MiB that they take", median("memory_peak_mib"), "<=", MEMORY_MAX),
        ("looks, of those that are due", looks, ">=", LOOKS_MIN),
        ("looks, of those that are due", looks, "<=", LOOKS_MAX))


def measure_rounds(options):
    for number in range(options.rounds):
        yield {"bench": "transfers", "round": number + 1, "count": options.count,
               **measure_once(options.build, options.count, 20 if options.quick else 60)}


def main():
    parser = rounds.parser("What looking after many open transfers costs.", 3)
    parser.add_argument("--count", type=int, default=100000, help="transfers")
    options = rounds.parse(parser)
    results = rounds.collect(measure_rounds(options))
    print("\n%-14s %8s %12s %8s" % ("transfers", "core", "us a look", "MiB"))
    for name in PROGRAMS:
        print("%-14s %8.4f %12.1f %8.1f" % (
            name, *(statistics.median(result[name][key] for result in results)
                    for key in ("core", "usec_per_read", "memory_peak_mib"))))
    print()
    return 0 if judge(results, options.count) else 1


if __name__ == "__main__":
    sys.exit(main())
