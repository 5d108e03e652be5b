#!/usr/bin/python3
"""What handing in a mail costs with vestibule-email, beside bare libcurl with the same mail, the same
envelope, and as many connections, to the same server in the same round. Prints one JSON object a line,
then a table. For ./dev bench.

sink        2,000 mails to smtp-sink, which takes everything at once: the time is the client's
postfix     400 mails to a Postfix, over TLS and with a password, for a mailbox that throws them away

The bare sender is mail-bare.c: a thread and a kept connection for each of the 4 places in the window,
which is faster than a multi handle. vestibule-email is asked as the gateway would, 64 mails at a time.
The two take turns in being first; ratios are taken within each round, and their median is what counts.
Status 0: everything was measured and the goals are met.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import rounds
from harness.dovecot import Dovecot
from harness.postfix import Postfix
from harness.server_folder import die_with_parent, free_port, wait_for_port
from harness.smtp_double import SmtpDouble

WINDOW = 4
IN_FLIGHT = 64
GOAL = 0.7
GUEST = "nobody@discard.test"


class Example:
    """A mail of the channel as sms-frames.c asks for it, and its envelope."""

    def __init__(self, build, folder):
        double = SmtpDouble()
        try:
            frames(build, folder, {"submit": "smtp://127.0.0.1:%d" % double.port, "starttls": "no"}, {}, 1)
        finally:
            double.stop()
        (mail,) = double.mails
        self.sender = re.match(r"MAIL FROM:<([^>]+)>", mail.sender).group(1)
        self.path = os.path.join(folder, "mail")
        with open(self.path, "wb") as file:
            file.write(mail.data)


def frames(build, folder, settings, credentials, count):
    """vestibule-email, asked as fast as it answers."""
    for name, content in {"mail-key": base64.b64encode(bytes(32)).decode(), **credentials}.items():
        path = os.path.join(folder, name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(content)
    path = os.path.join(folder, "settings.json")
    with open(path, "w") as file:
        json.dump({"from": "keys@hotel.test", "name": "Hotel Adler", "window": str(WINDOW), **settings}, file)
    return rounds.run(
        os.path.join(build, "tests", "bench", "sms-frames"), "--channel",
        os.path.join(build, "plugins", "email", "vestibule-email"), "--settings", path, "--credentials", folder,
        "--to", "mailto:" + GUEST, "--count", str(count), "--in-flight", str(IN_FLIGHT))


class Sink:
    name, count, goal = "sink", 2000, GOAL

    def __enter__(self):
        self.port = free_port()
        self.process = subprocess.Popen(
            ["smtp-sink", "-u", "nobody", "127.0.0.1:%d" % self.port, "100"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        wait_for_port(self.port, self.process, 20)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def url(self):
        return "smtp://127.0.0.1:%d" % self.port

    def bare_options(self):
        return []

    def settings(self):
        return {"starttls": "no"}

    def credentials(self):
        return {}


class RealPostfix:
    name, count, goal = "postfix", 400, GOAL

    def __enter__(self):
        self.dovecot = Dovecot().start()
        self.postfix = Postfix(self.dovecot)
        with open(os.path.join(self.postfix.folder, "transport"), "a") as file:
            file.write("discard.test discard:\n")
        self.postfix.start()
        self.password = self.dovecot.users["keys"]
        return self

    def __exit__(self, *_):
        self.postfix.remove()
        self.dovecot.remove()

    def url(self):
        return "smtp://localhost:%d" % self.postfix.client_port

    def bare_options(self):
        return ["--ca-file", self.postfix.certificate, "--username", "keys", "--password", self.password]

    def settings(self):
        return {"starttls": "required", "username": "keys", "ca_file": self.postfix.certificate}

    def credentials(self):
        return {"submit-password": self.password}


def bare(server, build, folder, count, mail):
    return rounds.run(
        os.path.join(build, "tests", "bench", "mail-bare"), "--url", server.url() + "/hotel.test",
        *server.bare_options(), "--from", mail.sender, "--to", GUEST, "--envelope-id", mail.sender.split("@")[0],
        "--mail", mail.path, "--count", str(count), "--connections", str(WINDOW))


def channel(server, build, folder, count, mail):
    return frames(build, folder, {"submit": server.url(), **server.settings()}, server.credentials(), count)


def measure(build, n_rounds, quick):
    folder = tempfile.mkdtemp(prefix="vestibule-bench-")
    ways = {"bare": bare, "channel": channel}
    try:
        mail = Example(build, folder)
        for number in range(n_rounds):
            for kind in (Sink, RealPostfix):
                with kind() as server:
                    bare(server, build, folder, 20, mail)  # wakes it up
                    for who in rounds.turns(number, *ways):
                        count = kind.count // (2 if quick else 1)
                        yield {"bench": "mail-" + kind.name, "who": who, "round": number + 1,
                               **ways[who](server, build, folder, count, mail)}
    finally:
        shutil.rmtree(folder)


def main():
    options = rounds.parse(rounds.parser("Benchmark of handing in mail.", 5))
    if os.geteuid() != 0:
        print("mail: not measured, because Postfix needs root")
        return 0
    results = rounds.collect(measure(options.build, options.rounds, options.quick))
    those = {(kind, who): {"bench": "mail-" + kind.name, "who": who}
             for kind in (Sink, RealPostfix) for who in ("bare", "channel")}
    rounds.print_medians(
        "mail, %d connections" % WINDOW, results,
        [("%s %s" % (kind.name, who), which) for (kind, who), which in those.items()],
        [("per s", "rate"), ("cpu us", "cpu_us")])
    return 0 if rounds.judge(*(
        ("mails per second to %s, of bare libcurl's" % kind.name,
         rounds.ratio(results, those[kind, "channel"], those[kind, "bare"]), ">=", kind.goal)
        for kind in (Sink, RealPostfix))) else 1


if __name__ == "__main__":
    sys.exit(main())
