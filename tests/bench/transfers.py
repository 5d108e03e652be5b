#!/usr/bin/python3
"""What looking after many open transfers costs: 100,000 of several messages each, an hour after
their last progress, so that each mailbox is looked at every three minutes. For ./dev bench; prints
one JSON object, then a table.

transfers.c fills the stores of a gateway and of a relay; then both run, with the relay client
between them, and nothing happens but looks. Counted are user and system time and the memory of
vestibuled and vestibule-relay-client together. `reads` is what the relay counted in that time.

Goals: at most 5 % of one core, and at most 64 MiB. Status 0: it was measured, and, with --gate,
both are met.
"""

import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import processor_seconds  # noqa: E402
from harness.vestibule import Site, hotel_policy, wait_until  # noqa: E402

INTERVAL = 180  # seconds between two looks at that age
CORE_MAX, MEMORY_MAX = 0.05, 64.0


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--gate", action="store_true", help="status 1 when a goal is missed")
    arguments = parser.parse_args()

    site = Site(
        arguments.build, log_level="warning",
        policies=hotel_policy("echo").replace("code = D9", "code = D9\n  access_rights = RWD"),
        relay_options=["--rate", "0", "--connections-per-address", "4096"])
    fill(site, arguments.count)
    with site:
        result = measure(site, arguments.seconds)
    print(json.dumps({"bench": "transfers", "count": arguments.count, **result}))
    core = sum(result[name]["core"] for name in ("vestibuled", "relay-client"))
    memory = sum(result[name]["memory_peak_mib"] for name in ("vestibuled", "relay-client"))
    expected = arguments.count / (INTERVAL * 1.1)  # a fifth of each interval is chance
    goals = [
        ("a core, at most %g" % CORE_MAX, core, core <= CORE_MAX),
        ("MiB, at most %g" % MEMORY_MAX, memory, memory <= MEMORY_MAX),
        ("of the looks that are due", result["reads_per_second"] / expected,
         0.85 <= result["reads_per_second"] / expected <= 1.15),
    ]
    print("\n%d open transfers, an hour old: %.0f looks a second" % (
        arguments.count, result["reads_per_second"]))
    for text, value, met in goals:
        print("  %8.3f  %-28s %s" % (value, text, "met" if met else "MISSED"))
    return 1 if arguments.gate and not all(met for _, _, met in goals) else 0


if __name__ == "__main__":
    sys.exit(main())
