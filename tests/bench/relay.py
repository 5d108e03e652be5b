#!/usr/bin/python3
"""What a request to the relay costs by way of vestibule-relay-client, beside a bare libcurl multi loop
against the same relay in the same round. Prints one JSON object a line, then tables. For ./dev bench.

create      10,000 creates with 64 in flight: by relay-multi.c, the bare loop, and by the relay client,
            which relay-frames.c asks for them as the gateway would.
read        10,000 reads of mailboxes whose recipient has not answered, with 64 in flight.
poll        Reads at the pace of 100,000 open transfers that are an hour old, 555 at once each second:
            what looking at one costs. transfers.py has the goal for that.

`cpu_us` is user and system time of the bare loop, or of the relay client, for each request, and
`relay_cpu_us` that of the relay, which is the same for both and so bounds how far the two can differ.
`connections` is what the relay counted; each is one TLS handshake. The relay keeps its mailboxes in
memory, so that no disk is measured.

The two take turns in being first. Ratios are taken within each round, and their median is what
counts; of the handshakes it is the most. Polls take their time and have no goal, so that they are
measured in every third round alone. Status 0: everything was measured and every goal is met.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness.server_folder import die_with_parent, free_port  # noqa: E402
from harness.vestibule import Process, make_certificate, wait_until  # noqa: E402

IN_FLIGHT = 64
COUNT = 10000
MAILBOXES = 1000
POLLS_PER_SECOND = 555
TICK = os.sysconf("SC_CLK_TCK")


class Bench:
    """A relay, keys, mailboxes to read, and the two programs that ask for them."""

    def __init__(self, build, folder):
        self.build, self.folder, self.log_read = build, folder, 0
        self.certificate, self.log = self.path("relay.pem"), self.path("relay.log")
        make_certificate(self.certificate, self.path("relay.key"), "localhost")
        self.run(self.client, "--make-key", self.path("keys"))
        self.host, port_file = "localhost:%d" % free_port(), self.path("port")
        self.relay = Process(
            [self.program("relay-client", "server", "vestibule-relay"), "--in-memory",
             "--listen", "127.0.0.1:" + self.host.split(":")[1], "--port-file", port_file,
             "--public-url", "https://" + self.host, "--log", self.log,
             "--certificate", self.certificate, "--key", self.path("relay.key"),
             "--rate", "0", "--connections-per-address", "4096"],
            self.path("relay.err"))
        wait_until(lambda: os.path.exists(port_file), 20, "the relay is open")

    def path(self, name):
        return os.path.join(self.folder, name)

    def program(self, *names):
        return os.path.join(self.build, *names)

    @property
    def client(self):
        return self.program("relay-client", "vestibule-relay-client")

    def run(self, *command):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=die_with_parent, timeout=300, text=True)
        if done.returncode != 0:
            raise AssertionError("%s: %s" % (os.path.basename(command[0]), done.stderr.strip()))
        return done.stdout

    def fill(self):
        self.run(
            self.program("tests", "bench", "relay-multi"), "create", "--relay", self.host,
            "--ca-file", self.certificate, "--count", str(MAILBOXES), "--in-flight", "16",
            "--make", self.path("mailboxes"))
        self.new_connections()

    def new_connections(self):
        """How many the relay has taken since the last call."""
        with open(self.log) as file:
            file.seek(self.log_read)
            lines = file.read()
        self.log_read += len(lines)
        return lines.count(" op=connection")

    def relay_seconds(self):
        with open("/proc/%d/stat" % self.relay.pid) as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def command(self, who, operation):
        if who == "bare":
            return [self.program("tests", "bench", "relay-multi"), operation, "--relay", self.host]
        return [self.program("tests", "bench", "relay-frames"), operation,
                "--url", "https://" + self.host, "--client", self.client, "--keys", self.path("keys")]

    def ask(self, who, operation, count, *options):
        relay = self.relay_seconds()
        result = json.loads(self.run(
            *self.command(who, operation), "--ca-file", self.certificate, "--count", str(count),
            "--mailboxes", self.path("mailboxes"), *options))
        result["relay_cpu_us"] = round(1e6 * (self.relay_seconds() - relay) / count, 1)
        result["connections"] = self.new_connections()
        return result

    def poll(self, who, seconds):
        in_flight = "64" if who == "bare" else str(POLLS_PER_SECOND)
        return self.ask(
            who, "read", POLLS_PER_SECOND * seconds, "--in-flight", in_flight,
            "--rate", str(POLLS_PER_SECOND), "--burst", str(POLLS_PER_SECOND))


def measure(bench, rounds, quick):
    bench.fill()
    for who in ("bare", "client"):  # warms caches up, ours and the relay's
        bench.ask(who, "read", MAILBOXES, "--in-flight", str(IN_FLIGHT))
    for number in range(rounds):
        for operation in ("create", "read", "poll") if number % 3 == 0 else ("create", "read"):
            for who in ("bare", "client") if number % 2 == 0 else ("client", "bare"):
                if operation == "poll":
                    result = bench.poll(who, 4 if quick else 10)
                else:
                    result = bench.ask(who, operation, COUNT, "--in-flight", str(IN_FLIGHT))
                yield {"bench": operation, "who": who, "round": number + 1, **result}


def of(results, operation, who, key):
    return [r[key] for r in results if r["bench"] == operation and r["who"] == who]


def ratio(results, operation):
    """The median over the rounds of the relay client's speed, of the bare loop's."""
    return statistics.median(
        client / bare for client, bare in zip(
            of(results, operation, "client", "rate"), of(results, operation, "bare", "rate")))


def print_table(results):
    print("\nrequests to a relay, %d in flight, medians" % IN_FLIGHT)
    print("%-8s %-8s %9s %9s %9s %12s %9s" % (
        "", "", "per s", "cpu us", "relay's", "connections", "MiB"))
    for operation in ("create", "read", "poll"):
        for who in ("bare", "client"):
            memory = [value / 1024 for value in of(results, operation, who, "memory_kib")] \
                if who == "client" else []
            print("%-8s %-8s %9.0f %9.1f %9.1f %12d %9s" % (
                operation, who,
                *(statistics.median(of(results, operation, who, key))
                  for key in ("rate", "cpu_us", "relay_cpu_us", "connections")),
                "%.1f" % max(memory) if memory else ""))
    print()


def judge(results):
    """Each goal with its figure; true if all are met."""
    handshakes = max(of(results, "create", "client", "connections")) * 10000 / COUNT
    goals = [
        ("creates per second at 64 in flight, of a bare libcurl loop's",
         ratio(results, "create"), ">=", 0.7),
        ("reads per second at 64 in flight, of a bare libcurl loop's",
         ratio(results, "read"), ">=", 0.7),
        ("TLS handshakes for 10,000 shares", handshakes, "<=", 20),
    ]
    all_met = True
    for text, value, relation, goal in goals:
        met = value >= goal if relation == ">=" else value <= goal
        all_met &= met
        print("goal %s: %.3f, %s %g: %s" % (text, value, relation, goal, "met" if met else "missed"))
    return all_met


def main():
    parser = argparse.ArgumentParser(description="Benchmarks of requests to the relay.")
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--rounds", type=int, help="9, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="shorter measurements")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = []
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as folder:
        bench = Bench(os.path.abspath(options.build), folder)
        try:
            for result in measure(
                    bench, options.rounds or (1 if options.quick else 9), options.quick):
                print(json.dumps(result), flush=True)
                results.append(result)
        finally:
            bench.relay.kill()
    print_table(results)
    return 0 if judge(results) else 1


if __name__ == "__main__":
    sys.exit(main())
