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

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness.kannel import KannelCarrier  # noqa: E402
from harness.server_folder import die_with_parent  # noqa: E402

COUNT = 2000
WINDOW = 8
IN_FLIGHT = 64
GOAL = 0.7


def run(*command):
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=die_with_parent, timeout=300, text=True)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (os.path.basename(command[0]), done.stderr.strip()))
    return json.loads(done.stdout)


def bare(kannel, build, count):
    return run(
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
    return run(
        os.path.join(build, "tests", "bench", "sms-frames"),
        "--channel", os.path.join(build, "plugins", "sms", "vestibule-sms"), "--settings", settings,
        "--credentials", credentials, "--to", kannel.guest, "--count", str(count), "--in-flight", str(IN_FLIGHT))


def measure(build, rounds, count):
    ways = {"bare": bare, "channel": channel}
    for number in range(rounds):
        for who in ("bare", "channel") if number % 2 == 0 else ("channel", "bare"):
            kannel = KannelCarrier(build)
            try:
                kannel.start(attached=False)
                # Its first message waits for its router to wake up.
                bare(kannel, build, 50)
                yield {"bench": "kannel", "who": who, "round": number + 1, **ways[who](kannel, build, count)}
            finally:
                kannel.kill()
                kannel.__exit__(None, None, None)


def of(results, who, key):
    return [result[key] for result in results if result["who"] == who]


def main():
    parser = argparse.ArgumentParser(description="Benchmark of messages by way of Kannel.")
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--rounds", type=int, help="7, or 3 with --quick")
    parser.add_argument("--quick", action="store_true", help="shorter measurements")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = []
    rounds = options.rounds or (3 if options.quick else 7)
    for result in measure(os.path.abspath(options.build), rounds, COUNT):
        print(json.dumps(result), flush=True)
        results.append(result)
    print("\nmessages by way of Kannel, %d requests at a time, medians" % WINDOW)
    print("%-8s %9s %9s" % ("", "per s", "cpu us"))
    for who in ("bare", "channel"):
        print("%-8s %9.0f %9.1f" % (who, statistics.median(of(results, who, "rate")),
                                    statistics.median(of(results, who, "cpu_us"))))
    ratio = statistics.median(
        ours / theirs for ours, theirs in zip(of(results, "channel", "rate"), of(results, "bare", "rate")))
    print("\ngoal messages per second by way of Kannel, of a bare libcurl loop's: %.3f, >= %g: %s" % (
        ratio, GOAL, "met" if ratio >= GOAL else "missed"))
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
