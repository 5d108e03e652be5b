#!/usr/bin/python3
"""Benchmarks of the main job, for ./dev bench. Prints one JSON object a line, then tables.

What is measured, in rounds that take each measurement once, so that whatever else the machine does
falls on all of them; the figures at the end are medians over the rounds:

lifecycle   Full lifecycles per second through API, engine, echo channel and a real vestibule-relay,
            with 1, 64 and 256 in flight; lifecycle.c says what one is and when it has ended.
            `delay` says whose fsyncs were made longer by 5 ms: nobody's, vestibuled's, or those of
            vestibuled and the relay. `cpu` is of all our processes; the load generator, which is
            the tenant, the phones and the wallets, comes apart.
            `fsyncs` are those of vestibuled, of its checkpoints as well, for each share;
            `relay_fsyncs` the relay's.
rawstore    The same rows straight into SQLite, in batches of 64 shares; see rawstore.c.
syncs       fdatasync() of 4 KiB appended to a file: what the disk gives in this round.

Ratios are taken within each round, and their median is what counts. Goals are judged at the end.
Then others have their turn: relay.py with requests to the relay alone, transfers.py with many
transfers that wait, flood.py with wrong answers, and one for each way to a carrier. Status 0:
everything was measured, and the goals of these and, with --gate, all others are met.
"""

import mmap
import os
import resource
import shutil
import sqlite3
import statistics
import struct
import subprocess
import sys
import time

import rounds
from rounds import median, ratio
from harness.server_folder import die_with_parent
from harness.vestibule import Site, wait_until

DELAY_USEC = 5000
IN_FLIGHT = (1, 64, 256)
DELAYS = ("none", "gateway", "both")
TICK = os.sysconf("SC_CLK_TCK")
CONTENT = {"token": "0-" + 1280 * "x"}  # as lifecycle.c shares it


class Shim:
    """The counter and the delay that fsync-shim.c shares with us."""

    def __init__(self, path, library):
        self.path, self.library = path, library
        with open(path, "wb") as file:
            file.write(bytes(16))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 16)

    def environment(self):
        return {"LD_PRELOAD": self.library, "FSYNC_SHIM_FILE": self.path}

    @property
    def calls(self):
        return struct.unpack_from("=Q", self.memory, 0)[0]

    def delay(self, usec):
        struct.pack_into("=Q", self.memory, 8, usec)


class BenchSite(Site):
    """A site whose gateway and relay are preloaded with the shim; the plugins are as they are."""

    def __init__(self, build, library):
        super().__init__(
            build, log_level="warning",
            relay_options=["--rate", "0", "--connections-per-address", "4096"])
        self.shims = {
            name: Shim(self.path(name + ".fsyncs"), library) for name in ("gateway", "relay")}
        self.relay.wrapper = ["/usr/bin/env"] + [
            "%s=%s" % item for item in self.shims["relay"].environment().items()]

    def environment(self, **more):
        return super().environment(**self.shims["gateway"].environment(), **more)

    def pids(self):
        """Our processes, without the operators' front: nobody asks it anything."""
        children = self.children()
        return {
            "api": children["tenants"], "vestibuled": self.gateway.pid, "echo": children["echo"],
            "relay-client": children["main"], "relay": self.relay.process.pid,
        }

    def delays(self, which):
        self.shims["gateway"].delay(DELAY_USEC if which != "none" else 0)
        self.shims["relay"].delay(DELAY_USEC if which == "both" else 0)

    def counters(self):
        return self.operator("GET", "/readyz").json["counters"]


def processor_seconds(pid):
    """User and system time of all threads of a process."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def children_seconds():
    """The same of all our children that have ended, which the load generator has."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def lifecycle_command(site, in_flight, count, seconds):
    return [
        site.program("tests", "bench", "lifecycle"), "--port", str(site.api_port),
        "--phones", site.phones_path, "--operators", site.operator_path, "--relay", site.relay.host,
        "--ca-file", site.relay.certificate, "--in-flight", str(in_flight),
        "--count", str(count), "--seconds", str(seconds),
    ]


def lifecycle(site, in_flight, delay, count, seconds):
    pids = site.pids()
    site.delays(delay)
    counters = site.counters()
    syncs = {name: shim.calls for name, shim in site.shims.items()}
    processor = {name: processor_seconds(pid) for name, pid in pids.items()}
    load = children_seconds()
    result = rounds.run(
        *lifecycle_command(site, in_flight, count, seconds),
        environment={"PATH": "/usr/bin:/bin", "BENCH_TOKEN": site.tenant.token})
    load = children_seconds() - load
    processor = {name: processor_seconds(pid) - processor[name] for name, pid in pids.items()}
    syncs = {name: shim.calls - syncs[name] for name, shim in site.shims.items()}
    after = site.counters()
    site.delays("none")
    shares = result["shares"]
    completed = after["shares_completed"] - counters["shares_completed"]
    if completed != shares:
        raise AssertionError("%d of %d shares were completed" % (completed, shares))
    if 0 in syncs.values():
        raise AssertionError("fsyncs are not counted: %s" % syncs)
    batches = after["batches"] - counters["batches"]
    return {
        "bench": "lifecycle", "in_flight": in_flight, "delay": delay, **result,
        "cpu_us": round(1e6 * sum(processor.values()) / shares),
        "cpu_us_of": {name: round(1e6 * value / shares) for name, value in processor.items()},
        "load_cpu_us": round(1e6 * load / shares),
        "fsyncs": round(syncs["gateway"] / shares, 3),
        "relay_fsyncs": round(syncs["relay"] / shares, 3),
        "commands_per_batch": round((after["commands"] - counters["commands"]) / max(batches, 1), 2),
        "commands": round((after["commands"] - counters["commands"]) / shares, 2),
    }


def rawstore(site, sizes, count):
    folder = site.path("rawstore")
    os.mkdir(folder)
    try:
        return {"bench": "rawstore", **rounds.run(
            site.program("tests", "bench", "rawstore"), "--directory", folder, "--count", str(count),
            *(word for name, size in sizes.items() for word in ("--" + name, str(size))))}
    finally:
        shutil.rmtree(folder)


def syncs(site, count=100):
    times = []
    path = site.path("syncs")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            os.write(fd, bytes(4096))
            begin = time.perf_counter()
            os.fdatasync(fd)
            times.append(time.perf_counter() - begin)
    finally:
        os.close(fd)
        os.unlink(path)
    return {"bench": "syncs", "p50_us": round(1e6 * statistics.median(times))}


def sizes_of_rows(site):
    """What a share of this benchmark weighs in the store: one is taken through its life, slowly."""
    store = sqlite3.connect("file:%s?mode=ro" % os.path.join(site.state, "vestibule.sqlite"), uri=True)

    def size(query):
        return store.execute(query).fetchone()[0]

    phone = site.phone("echo:0123456789abcdef-1000", take=False)
    share = site.create(
        "echo:0123456789abcdef-1000", content=CONTENT, reference="booking-0123456789abcdef-1000")
    invitation = phone.wait_message("invitation")
    sizes = {
        name: size("SELECT max(length(%s)) FROM %s" % (name, table))
        for name, table in (
            ("details", "content"), ("payload", "content"), ("answer", "answer"),
            ("reference", "share"))
    }
    sizes["invitation"] = size("SELECT length(body) FROM message")
    phone.say(share["code"], thread=invitation["thread"])
    link = phone.wait_message("link")
    sizes["link"] = size("SELECT length(body) FROM message WHERE kind = 2")
    sizes["mailbox"] = size("SELECT max(length(mailbox)) FROM share")
    phone.say("DONE", thread=link["thread"])
    notice = phone.wait_message("notice")
    wait_until(
        lambda: size("SELECT count(*) FROM message WHERE kind = 3") == 1, 10, "the notice is there")
    sizes["notice"] = size("SELECT length(body) FROM message WHERE kind = 3")
    phone.send_raw({"type": "taken", "message": notice["message"]})
    site.wait_state(share, "completed")
    phone.hang_up()
    store.close()
    return sizes


# --- what it comes to -------------------------------------------------------------------------------


RAW = {"bench": "rawstore"}


def life(in_flight, delay="none"):
    return {"bench": "lifecycle", "in_flight": in_flight, "delay": delay}


def print_tables(results, sizes):
    raw = median(results, "rate", **RAW)
    print()
    print("rawstore: %.0f shares/s in batches of 64; one share writes %d bytes of content and messages"
          % (raw, sum(sizes.values())))
    print("one fdatasync of 4 KiB: %.0f us" % median(results, "p50_us", bench="syncs"))
    print()
    print("lifecycles, medians; `+5 ms` on each fsync of vestibuled (gateway), or of the relay as well (both)")
    print("%9s %8s %8s %9s %8s %8s %8s %8s %9s %9s" % (
        "in flight", "+5 ms", "per s", "/rawstore", "/no delay", "cpu us", "fsyncs", "relay's",
        "create ms", "notice ms"))
    for in_flight in IN_FLIGHT:
        for delay in DELAYS:
            which = life(in_flight, delay)
            rate = median(results, "rate", **which)
            print("%9d %8s %8.0f %9.3f %9.2f %8.0f %8.3f %8.3f %9.2f %9.2f" % (
                in_flight, delay, rate, ratio(results, which, RAW),
                ratio(results, which, life(in_flight)),
                median(results, "cpu_us", **which), median(results, "fsyncs", **which),
                median(results, "relay_fsyncs", **which),
                median(results, "create_p50_ms", **which),
                median(results, "notice_p50_ms", **which)))
    print()
    print("CPU of one lifecycle, us, without delay")
    names = list(next(r for r in results if r["bench"] == "lifecycle")["cpu_us_of"])
    print("%9s %s %9s %9s %9s" % (
        "in flight", " ".join("%12s" % name for name in names), "generator", "commands", "a batch"))
    for in_flight in IN_FLIGHT:
        which = life(in_flight)
        parts = [
            statistics.median(
                result["cpu_us_of"][name] for result in results
                if all(result.get(key) == value for key, value in which.items()))
            for name in names
        ]
        print("%9d %s %9.0f %9.1f %9.1f" % (
            in_flight, " ".join("%12.0f" % part for part in parts),
            median(results, "load_cpu_us", **which),
            median(results, "commands", **which), median(results, "commands_per_batch", **which)))
    print()


def judge(results):
    """Each goal with its figure; true if all are met."""
    return rounds.judge(
        ("lifecycles per second at 64 in flight, of rawstore",
         ratio(results, life(64), RAW), ">=", 0.15),
        ("fsyncs of vestibuled per share at 64 in flight",
         median(results, "fsyncs", **life(64)), "<=", 0.5),
        ("speed with 5 ms on each fsync of vestibuled, at 256 in flight",
         ratio(results, life(256, "gateway"), life(256)), ">=", 0.4),
        ("speed with 5 ms on each fsync of vestibuled and the relay, at 256 in flight",
         ratio(results, life(256, "both"), life(256)), ">=", 0.4))


def measure(site, n_rounds, quick):
    """Yields results; the first is about the rows."""
    seconds = 2 if quick else 3
    sizes = sizes_of_rows(site)
    yield {"bench": "rows", "bytes": sizes}
    lifecycle(site, 64, "none", 400, 5)  # warms caches, connections and the WAL up
    for number in range(n_rounds):
        yield {"round": number + 1, **syncs(site)}
        yield {"round": number + 1, **rawstore(site, sizes, 6400 if quick else 12800)}
        for in_flight in IN_FLIGHT:
            for delay in DELAYS:
                yield {"round": number + 1,
                       **lifecycle(site, in_flight, delay, 1000000 if in_flight > 1 else 2000, seconds)}


def run_part(name, build, options):
    """Runs another file of this folder with the same options; true if it says that all is well."""
    command = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), name),
               "--build", build]
    command += ["--quick"] if options.quick else []
    command += ["--rounds", str(options.asked_rounds)] if options.asked_rounds else []
    print(flush=True)
    return subprocess.call(command, preexec_fn=die_with_parent) == 0


def main():
    parser = rounds.parser("Benchmarks, as JSON lines and tables.", 5)
    parser.add_argument("--nice", type=int, default=0, help="run everything at this priority")
    parser.add_argument("--gate", action="store_true", help="status 1 when a goal is missed")
    options = rounds.parse(parser)
    os.nice(options.nice)
    shim = os.path.join(options.build, "tests", "bench", "fsync-shim.so")
    with BenchSite(options.build, shim) as site:
        results = rounds.collect(measure(site, options.rounds, options.quick))
    (sizes,) = [result["bytes"] for result in rounds.having(results, bench="rows")]
    print_tables(results, sizes)
    all_met = judge(results) or not options.gate
    sys.stdout.flush()
    for name in ("relay.py", "transfers.py", "flood.py", "kannel.py", "smpp.py", "lmtp.py", "mail.py"):
        all_met &= run_part(name, options.build, options)
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
