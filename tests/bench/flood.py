#!/usr/bin/python3
"""What a flood of wrong answers costs, and what others notice of it. Prints JSON lines, then goals.

Many strangers answer at a rate, each with a well-formed wrong code for a share of their own, so that every
single one is bound, compared, counted in all budgets, recorded and written back to; see flood.c. The
shares belong to tenants of their own, whose budgets of a day are not reached: beyond them answers are
dropped before anything is compared, which is less work. Meanwhile another tenant has lifecycles with
real relay calls, over the same channel; see lifecycle.c.

flood   `quiet` and `flood` take turns in being first in a round; a ratio is of two of one round. p99 is
        from the request to its 201 (create), and from there to the recipient's last notice (notice).
        `beyond` is the same flood once more, after the tenants' budgets of a day are used up but for a few.
cost    CPU of vestibuled for answers at the same rate, by its own clock, with all that follows from them,
        such as the text back. `mistyped` are codes with a wrong check digit: they are bound,
        committed, recorded and answered likewise, but neither hashed, spent, compared nor counted in
        budgets. `wrong` less `mistyped` is therefore what a wrong answer costs beyond its commit.

The generators run on the same machine and take CPU that in earnest nobody would, and whatever else
runs there makes single rounds worthless; look at the medians.
"""

import json
import os
import subprocess
import sys
import threading
import time

import rounds
from rounds import median, ratio
from harness.server_folder import die_with_parent
from harness.vestibule import Site, mistyped, wait_until, wrong_code

RATE = 2000
SECONDS = 2
FLOOD = RATE * SECONDS + RATE // 4  # a little longer than what it disturbs
COST = 1500
PER_TENANT = 950  # of a tenant's 1000 wrong answers a day
THREADS = 4


def processor_seconds(pid):
    """CPU time of all threads of a process, by the clock that the kernel keeps of it."""
    return time.clock_gettime(~pid << 3 | 2)


def create_shares(site, number, count):
    """Shares of strangers; returns address and code of each."""
    made = []

    def create(first):
        for i in range(first, count, THREADS):
            place = number * count + i
            address = "echo:flood-%d" % place
            share = site.create(address, tenant=site.tenants["flood%d" % (place // PER_TENANT)])
            made.append((address, share["code"]))

    phone = site.phone("*")
    threads = [threading.Thread(target=create, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(made) != count:
        raise AssertionError("%d of %d shares were created" % (len(made), count))
    wait_until(lambda: len({message["message"] for message in phone.messages}) >= count, 60, "all are invited")
    phone.hang_up()
    site.phones.remove(phone)
    return made


def start_flood(site, answers, *more):
    path = site.path("answers")
    with open(path, "w") as file:
        file.write("".join("%s %s\n" % answer for answer in answers))
    return subprocess.Popen(
        [site.program("tests", "bench", "flood"), "--phones", site.phones_path, "--file", path,
         "--rate", str(RATE), "--count", str(len(answers)), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent, text=True)


def end_flood(process):
    output, errors = process.communicate(timeout=120)
    if process.returncode != 0:
        raise AssertionError("flood: %s" % errors.strip())
    return json.loads(output)


def counters(site):
    return site.operator("GET", "/readyz").json["counters"]


def counted(site, before, name, count):
    """Every answer was what it was meant to be."""
    n = counters(site)[name] - before[name]
    if n != count:
        raise AssertionError("%s: %d of %d" % (name, n, count))


def lifecycles(site, in_flight):
    return rounds.run(
        site.program("tests", "bench", "lifecycle"), "--port", str(site.api_port), "--phones", site.phones_path,
        "--operators", site.operator_path, "--relay", site.relay.host, "--ca-file", site.relay.certificate,
        "--in-flight", str(in_flight), "--count", "1000000", "--seconds", str(SECONDS),
        environment={"PATH": "/usr/bin:/bin", "BENCH_TOKEN": site.tenant.token})


def measure_load(site, which, in_flight, shares):
    before = counters(site)
    flood = {
        "quiet": lambda: None,
        "flood": lambda: start_flood(site, [(to, wrong_code(code)) for to, code in shares]),
        "beyond": lambda: start_flood(site, [(to, wrong_code(code, 1)) for to, code in shares], "--no-texts"),
    }[which]()
    result = {"bench": "flood", "load": which, **lifecycles(site, in_flight)}
    if flood:
        result["flood"] = end_flood(flood)
    if which == "flood":
        counted(site, before, "codes_wrong", len(shares))
    if which == "beyond":
        dropped = counters(site)["replies_dropped"] - before["replies_dropped"]
        if dropped < 0.8 * len(shares):
            raise AssertionError("only %d of %d answers were beyond a budget" % (dropped, len(shares)))
    return result


def measure_cost(site, which, shares):
    change, name = {
        "wrong": (wrong_code, "codes_wrong"), "mistyped": (mistyped, "codes_mistyped"),
    }[which]
    before, used = counters(site), processor_seconds(site.gateway.pid)
    result = end_flood(start_flood(site, [(to, change(code)) for to, code in shares]))
    used = processor_seconds(site.gateway.pid) - used
    counted(site, before, name, len(shares))
    return {"bench": "cost", "answer": which, "cpu_us": round(1e6 * used / len(shares), 1), **result}


def measure(site, n_rounds, in_flight):
    # All at first: a channel with many wrong answers gets longer codes for shares to come.
    shares = [create_shares(site, number, FLOOD + COST) for number in range(n_rounds)]
    lifecycles(site, in_flight)  # warms up
    for number in range(n_rounds):
        for which in rounds.turns(number, "quiet", "flood"):
            yield {"round": number + 1, **measure_load(site, which, in_flight, shares[number][:FLOOD])}
        for which in rounds.turns(number, "mistyped", "wrong"):
            yield {"round": number + 1, **measure_cost(site, which, shares[number][FLOOD:])}
        yield {"round": number + 1, **measure_load(site, "beyond", in_flight, shares[number][:FLOOD])}


def judge(results):
    flood, quiet, beyond = ({"bench": "flood", "load": load} for load in ("flood", "quiet", "beyond"))
    wrong, other = (median(results, "cpu_us", bench="cost", answer=which) for which in ("wrong", "mistyped"))
    print("\nCPU of vestibuled: %.1f us for a wrong answer, %.1f us for a mistyped one, medians" % (wrong, other))
    answers = [result["flood"] for result in rounds.having(results, **flood)]
    return rounds.judge(
        ("p99 of create with a flood of %d wrong answers a second, of that without" % RATE,
         ratio(results, flood, quiet, "create_p99_ms"), "<=", 2),
        ("p99 of the whole lifecycle likewise", ratio(results, flood, quiet, "notice_p99_ms"), "<=", 2),
        ("p99 of create with a flood beyond the budgets",
         ratio(results, beyond, quiet, "create_p99_ms"), "<=", 2),
        ("p99 of the whole lifecycle likewise", ratio(results, beyond, quiet, "notice_p99_ms"), "<=", 2),
        ("wrong answers a second that were taken, of those meant",
         min(answer["rate"] for answer in answers) / RATE, ">=", 0.95),
        ("CPU of a wrong answer beyond its commit, us", wrong - other, "<=", 30))


def main():
    parser = rounds.parser("What a flood of wrong answers costs.", 3)
    parser.add_argument("--in-flight", type=int, default=8, help="lifecycles meanwhile")
    options = rounds.parse(parser)
    total = options.rounds * (FLOOD + COST)
    tenants = ["flood%d" % i for i in range(total // PER_TENANT + 1)]
    with Site(options.build, log_level="warning", tenants=("adler", *tenants),
              relay_options=["--rate", "0", "--connections-per-address", "4096"]) as site:
        results = rounds.collect(measure(site, options.rounds, options.in_flight))
    return 0 if judge(results) else 1


if __name__ == "__main__":
    sys.exit(main())
