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

import os
import sys
import tempfile

import rounds
from harness.server_folder import free_port
from harness.vestibule import Process, make_certificate, wait_until

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
        rounds.output(self.client, "--make-key", self.path("keys"))
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

    def fill(self):
        rounds.output(
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
        result = rounds.run(
            *self.command(who, operation), "--ca-file", self.certificate, "--count", str(count),
            "--mailboxes", self.path("mailboxes"), *options)
        result["relay_cpu_us"] = round(1e6 * (self.relay_seconds() - relay) / count, 1)
        result["connections"] = self.new_connections()
        return result

    def poll(self, who, seconds):
        in_flight = "64" if who == "bare" else str(POLLS_PER_SECOND)
        return self.ask(
            who, "read", POLLS_PER_SECOND * seconds, "--in-flight", in_flight,
            "--rate", str(POLLS_PER_SECOND), "--burst", str(POLLS_PER_SECOND))


def measure(bench, n_rounds, quick):
    bench.fill()
    for who in ("bare", "client"):  # warms caches up, ours and the relay's
        bench.ask(who, "read", MAILBOXES, "--in-flight", str(IN_FLIGHT))
    for number in range(n_rounds):
        for operation in ("create", "read", "poll") if number % 3 == 0 else ("create", "read"):
            for who in rounds.turns(number, "bare", "client"):
                if operation == "poll":
                    result = bench.poll(who, 4 if quick else 10)
                else:
                    result = bench.ask(who, operation, COUNT, "--in-flight", str(IN_FLIGHT))
                yield {"bench": operation, "who": who, "round": number + 1, **result}


def those(operation, who):
    return {"bench": operation, "who": who}


def print_table(results):
    rows = [("%s %s" % (operation, who), those(operation, who))
            for operation in ("create", "read", "poll") for who in ("bare", "client")]
    rounds.print_medians(
        "requests to a relay, %d in flight" % IN_FLIGHT, results, rows,
        [("per s", "rate"), ("cpu us", "cpu_us"), ("relay's", "relay_cpu_us"), ("connections", "connections")])
    print("the relay client: %.1f MiB at most\n" % (
        max(result["memory_kib"] for result in rounds.having(results, who="client")) / 1024))


def judge(results):
    """Each goal with its figure; true if all are met."""
    handshakes = max(result["connections"] for result in rounds.having(results, **those("create", "client")))
    return rounds.judge(
        *(("%ss per second at 64 in flight, of a bare libcurl loop's" % operation,
           rounds.ratio(results, those(operation, "client"), those(operation, "bare")), ">=", 0.7)
          for operation in ("create", "read")),
        ("TLS handshakes for 10,000 shares", handshakes * 10000 / COUNT, "<=", 20))


def main():
    options = rounds.parse(rounds.parser("Benchmarks of requests to the relay.", 9))
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as folder:
        bench = Bench(options.build, folder)
        try:
            results = rounds.collect(measure(bench, options.rounds, options.quick))
        finally:
            bench.relay.kill()
    print_table(results)
    return 0 if judge(results) else 1


if __name__ == "__main__":
    sys.exit(main())
