#!/usr/bin/python3
"""What a text message by SMPP costs with vestibule-sms, beside a bare sender with libsmpp34, the same
message, the same window and the same SMS centre in the same round. Prints one JSON object a line, then a
table. For ./dev bench.

smpp        10,000 messages of one segment, 10 of them unanswered at a time: by smpp-bare.c, and by
            vestibule-sms, which sms-frames.c asks for them as the gateway would, 64 at a time. The
            centre is smpp-sink.c, which is faster than both.

`cpu_us` is user and system time of the bare sender, or of vestibule-sms, for each message; the channel
keeps the centre's ids in a file, as in service. The two take turns in being first; ratios are taken
within each round, and their median is what counts. Status 0: everything was measured and the goal is met.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import rounds
from harness.server_folder import die_with_parent

COUNT = 10000
WINDOW = 10
IN_FLIGHT = 64
GOAL = 0.5
SENDER, GUEST = "+4930901820", "+4915112345678"


class Sink:
    """smpp-sink.c in a process of its own."""

    def __init__(self, build):
        self.build = build
        self.process = subprocess.Popen(
            [os.path.join(build, "tests", "bench", "smpp-sink")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, preexec_fn=die_with_parent, text=True)
        self.port = int(self.process.stdout.readline())

    def bare(self):
        return rounds.run(
            os.path.join(self.build, "tests", "bench", "smpp-bare"), "--port", str(self.port), "--from",
            SENDER[1:], "--to", GUEST[1:], "--count", str(COUNT), "--window", str(WINDOW))

    def channel(self):
        folder = tempfile.mkdtemp(prefix="vestibule-bench-")
        try:
            return self.channel_in(folder)
        finally:
            shutil.rmtree(folder)

    def channel_in(self, folder):
        for name in ("credentials", "state"):
            os.mkdir(os.path.join(folder, name), 0o700)
        path = os.path.join(folder, "credentials", "smpp-password")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write("s3cr3t")
        settings = os.path.join(folder, "settings.json")
        with open(settings, "w") as file:
            json.dump({
                "driver": "smpp", "host": "127.0.0.1", "port": str(self.port), "system_id": "hotel",
                "sender": SENDER, "countries": ["DE"], "per_minute": "600000", "burst": "10000",
                "window": str(WINDOW)}, file)
        program = os.path.join(folder, "vestibule-sms")
        with os.fdopen(os.open(program, os.O_WRONLY | os.O_CREAT, 0o700), "w") as file:
            file.write("#!/bin/sh\nSTATE_DIRECTORY='%s' exec '%s' \"$@\"\n" % (
                os.path.join(folder, "state"), os.path.join(self.build, "plugins", "sms", "vestibule-sms")))
        return rounds.run(
            os.path.join(self.build, "tests", "bench", "sms-frames"), "--channel", program,
            "--settings", settings, "--credentials", os.path.join(folder, "credentials"),
            "--to", GUEST, "--count", str(COUNT), "--in-flight", str(IN_FLIGHT))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def measure(build, n_rounds):
    sink = Sink(build)
    try:
        for number in range(n_rounds):
            for who in rounds.turns(number, "bare", "channel"):
                yield {"bench": "smpp", "who": who, "round": number + 1, **getattr(sink, who)()}
    finally:
        sink.close()


def main():
    options = rounds.parse(rounds.parser("Benchmark of messages by SMPP.", 15, 5))
    results = rounds.collect(measure(options.build, options.rounds))
    bare, ours = {"who": "bare"}, {"who": "channel"}
    rounds.print_medians(
        "messages by SMPP with a window of %d" % WINDOW, results, [("bare", bare), ("channel", ours)],
        [("per s", "rate"), ("cpu us", "cpu_us")])
    return 0 if rounds.judge(
        ("messages per second by SMPP, of a bare libsmpp34 sender's", rounds.ratio(results, ours, bare), ">=", GOAL),
    ) else 1


if __name__ == "__main__":
    sys.exit(main())
