#!/usr/bin/python3
"""What a flood of wrong answers costs, and what others notice of it. Prints JSON lines, then goals.

Many strangers answer at a rate, each with a well-formed wrong code for a share of their own; see flood.c.
Meanwhile another tenant has so many lifecycles a second with real relay calls, over the same channel; see
lifecycle.c. They come at a steady rate, well below what the gateway can do: at its limit any flood would
only measure the limit.

flood     The budgets for wrong answers are the shipped ones: so many of each tenant are compared, counted and
          written back to, and what is beyond is dropped. `quiet` and `flood` take turns in being first in a
          round; a ratio is of two of one round. p99 is from when a share was to be created to its 201
          (create), and to its recipient's last notice (notice).
compared  The same with the widest budgets that there can be and so many tenants that not one answer is
          beyond them. Nobody has a goal for that: a day's budget of all is gone in its second second.
cost      CPU of vestibuled for answers at the same rate, by its own clock, with all that follows from them,
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
from harness.vestibule import LOOSE, Site, mistyped, wait_until, wrong_code

RATE = 2000
SECONDS = 5
LIFECYCLES = 100  # a second, which would be eight million a day
FLOOD = RATE * SECONDS + RATE // 4  # a little longer than what it disturbs
COST = 1500
PER_TENANT = 950  # of a tenant's 1000 wrong answers a day
THREADS = 4


def processor_seconds(pid):
    """CPU time of all threads of a process, by the clock that the kernel keeps of it."""
    return time.clock_gettime(~pid << 3 | 2)


def create_shares(site, start, count):
    """Shares of so many strangers, from a number on; returns address and code of each."""
    made = []

    def create(first):
        for place in range(start + first, start + count, THREADS):
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


def lifecycles(site):
    return rounds.run(
        site.program("tests", "bench", "lifecycle"), "--port", str(site.api_port), "--phones", site.phones_path,
        "--operators", site.operator_path, "--relay", site.relay.host, "--ca-file", site.relay.certificate,
        "--rate", str(LIFECYCLES), "--count", str(SECONDS * LIFECYCLES),
        environment={"PATH": "/usr/bin:/bin", "BENCH_TOKEN": site.tenant.token})


def measure_load(site, which, shares):
    """Lifecycles, with a flood beside them unless it is quiet."""
    before = counters(site)
    result = {"bench": "flood", "load": which}
    if which == "quiet":
        return {**result, **lifecycles(site)}
    flood = start_flood(site, [(to, wrong_code(code)) for to, code in shares],
                        *(["--no-texts"] if which == "flood" else []))
    result = {**result, **lifecycles(site), "flood": end_flood(flood)}
    if which == "compared":
        counted(site, before, "codes_wrong", len(shares))
        return result
    after = counters(site)
    compared, dropped = (after[name] - before[name] for name in ("codes_wrong", "replies_dropped"))
    if compared == 0 or compared + dropped != len(shares):
        raise AssertionError("%d compared and %d dropped, of %d" % (compared, dropped, len(shares)))
    return {**result, "compared": compared, "dropped": dropped}


def measure_cost(site, which, shares):
    change, name = {
        "wrong": (wrong_code, "codes_wrong"), "mistyped": (mistyped, "codes_mistyped"),
    }[which]
    before, used = counters(site), processor_seconds(site.gateway.pid)
    result = end_flood(start_flood(site, [(to, change(code)) for to, code in shares]))
    used = processor_seconds(site.gateway.pid) - used
    counted(site, before, name, len(shares))
    return {"bench": "cost", "answer": which, "cpu_us": round(1e6 * used / len(shares), 1), **result}


def measure_flood(site, n_rounds, which):
    # All shares at first: a channel with many wrong answers gets longer codes for those to come.
    costs = [] if which == "flood" else [
        {answer: create_shares(site, n_rounds * FLOOD + (2 * number + i) * COST, COST)
         for i, answer in enumerate(("mistyped", "wrong"))} for number in range(n_rounds)]
    shares = [create_shares(site, number * FLOOD, FLOOD) for number in range(n_rounds)]
    lifecycles(site)  # warms up
    for number in range(n_rounds):
        for load in rounds.turns(number, "quiet", which):
            yield {"round": number + 1, "beside": which, **measure_load(site, load, shares[number])}
    for number, those in enumerate(costs):
        for answer in rounds.turns(number, "mistyped", "wrong"):
            yield {"round": number + 1, **measure_cost(site, answer, those[answer])}


def measure(build, n_rounds):
    shipped = {name: number for name, number in LOOSE.items() if not name.startswith("wrong_")}
    tenants = ["flood%d" % i for i in range(n_rounds * (FLOOD + 2 * COST) // PER_TENANT + 1)]
    for which, limits in ("flood", shipped), ("compared", LOOSE):
        with Site(build, log_level="warning", tenants=("adler", *tenants), limits=limits,
                  relay_options=["--rate", "0", "--connections-per-address", "4096"]) as site:
            yield from measure_flood(site, n_rounds, which)


def judge(results):
    quiet = {"bench": "flood", "load": "quiet"}
    wrong, other = (median(results, "cpu_us", bench="cost", answer=which) for which in ("wrong", "mistyped"))
    print("\nCPU of vestibuled: %.1f us for a wrong answer, %.1f us for a mistyped one, medians" % (wrong, other))
    p99 = {(load, name): ratio([result for result in results if result.get("beside") == load],
                               {"bench": "flood", "load": load}, quiet, name + "_p99_ms")
           for load in ("flood", "compared") for name in ("create", "notice")}
    print("p99 with a flood of which every answer is compared, of that without: "
          "%.2f create, %.2f notice" % (p99["compared", "create"], p99["compared", "notice"]))
    answers = [result["flood"] for result in results if "flood" in result]
    return rounds.judge(
        ("p99 of create with a flood of %d wrong answers a second, of that without" % RATE,
         p99["flood", "create"], "<=", 2),
        ("p99 of the whole lifecycle likewise", p99["flood", "notice"], "<=", 2),
        ("wrong answers a second that were taken, of those meant",
         min(answer["rate"] for answer in answers) / RATE, ">=", 0.95),
        ("CPU of a wrong answer beyond its commit, us", wrong - other, "<=", 30))


def main():
    options = rounds.parse(rounds.parser("What a flood of wrong answers costs.", 3))
    return 0 if judge(rounds.collect(measure(options.build, options.rounds))) else 1


if __name__ == "__main__":
    sys.exit(main())
