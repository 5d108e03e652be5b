#!/usr/bin/python3
"""What a text message by way of Kannel costs with vestibule-sms, beside a bare libcurl multi loop with the
same requests to a Kannel of the same kind in the same round. Prints one JSON object a line, then a table.
For ./dev bench.

kannel      2,000 messages of one segment with 8 requests at a time: by kannel-multi.c, the bare loop, and
            by vestibule-sms, which sms-frames.c asks for them as the gateway would, 64 at a time.

Each measurement has a Kannel of its own, fresh, with its messages on disk and without a telephone, so that
neither finds what the other has left and no report comes in meanwhile. `cpu_us` is user and system time of
the bare loop, or of vestibule-sms, for each message. The two take turns in being first; ratios are taken
within each round, and their median is what counts. Status 0: everything was measured and the goal is met.
"""

import json
import os
import sys

import rounds
from harness.kannel import KannelCarrier

COUNT = 2000
WINDOW = 8
IN_FLIGHT = 64
GOAL = 0.7


def bare(kannel, build, count):
    return rounds.run(
        os.path.join(build, "tests", "bench", "kannel-multi"), "--url", kannel.settings()["url"],
        "--username", "gateway", "--password", kannel.password, "--from", kannel.sender, "--to", kannel.guest,
        "--callback", "http://127.0.0.1:%d/%s" % (kannel.callback_port, kannel.secret),
        "--count", str(count), "--in-flight", str(WINDOW))


def channel(kannel, build, count):
    credentials = os.path.join(kannel.folder, "credentials")
    os.mkdir(credentials, 0o700)
    for name, secret in kannel.credentials().items():
        path = os.path.join(credentials, name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secret)
    settings = os.path.join(kannel.folder, "settings.json")
    with open(settings, "w") as file:
        json.dump({**kannel.common_settings(), **kannel.settings(), "window": str(WINDOW),
                   "per_minute": "600000", "burst": "10000"}, file)
    return rounds.run(
        os.path.join(build, "tests", "bench", "sms-frames"),
        "--channel", os.path.join(build, "plugins", "sms", "vestibule-sms"), "--settings", settings,
        "--credentials", credentials, "--to", kannel.guest, "--count", str(count), "--in-flight", str(IN_FLIGHT))


def measure(build, n_rounds, count):
    ways = {"bare": bare, "channel": channel}
    for number in range(n_rounds):
        for who in rounds.turns(number, "bare", "channel"):
            kannel = KannelCarrier(build)
            try:
                kannel.start(attached=False)
                # Its first message waits for its router to wake up.
                bare(kannel, build, 50)
                yield {"bench": "kannel", "who": who, "round": number + 1, **ways[who](kannel, build, count)}
            finally:
                kannel.kill()
                kannel.__exit__(None, None, None)


def main():
    options = rounds.parse(rounds.parser("Benchmark of messages by way of Kannel.", 7, 3))
    results = rounds.collect(measure(options.build, options.rounds, COUNT))
    bare_ones, ours = {"who": "bare"}, {"who": "channel"}
    rounds.print_medians(
        "messages by way of Kannel, %d requests at a time" % WINDOW, results,
        [("bare", bare_ones), ("channel", ours)], [("per s", "rate"), ("cpu us", "cpu_us")])
    return 0 if rounds.judge(
        ("messages per second by way of Kannel, of a bare libcurl loop's",
         rounds.ratio(results, ours, bare_ones), ">=", GOAL)) else 1


if __name__ == "__main__":
    sys.exit(main())
