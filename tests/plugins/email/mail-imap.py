"""The IMAP route and a real Dovecot: what lies in a mailbox, and what servers and people do to it.

usage: mail-imap.py MAIL-ROUTE IMPATIENT [TEST…]
"""

import functools
import imaplib
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.dovecot import Dovecot
from harness.mail_route import MailRoute, digest
from harness.process import PATIENCE, wait_for
from harness.tap import note, run, side_by_side, test, tests_of

SIZE_MAX = 10 * 1024 * 1024
MAIL = "From: anna@example.org\r\nSubject: %s\r\n\r\nhello \u00fc\r\n"


class Double:
    """An IMAP server that says what a test tells it, over TLS. `script` gets (connection, reader)."""

    def __init__(self, dovecot, script):
        self.script = script
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(dovecot.certificate, dovecot.key)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        self.trouble = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with self.context.wrap_socket(connection, server_side=True) as secure:
                secure.settimeout(PATIENCE)
                self.script(secure, secure.makefile("rb"))
        except OSError:
            pass
        except Exception as error:  # of the script: told to the test
            self.trouble.append(repr(error))

    def close(self):
        self.listener.close()


def log_in(connection, reader, flags="\\Seen \\*", validity=1):
    """Up to the open folder."""
    connection.sendall(b"* OK hello\r\n")
    tag = reader.readline().split()[0].decode()
    connection.sendall(("* CAPABILITY IMAP4rev1\r\n%s OK\r\n" % tag).encode())
    tag = reader.readline().split()[0].decode()
    connection.sendall(("%s OK\r\n" % tag).encode())
    tag = reader.readline().split()[0].decode()
    connection.sendall(("* OK [PERMANENTFLAGS (%s)] x\r\n* OK [UIDVALIDITY %d] x\r\n%s OK in\r\n"
                        % (flags, validity, tag)).encode())


def command(reader):
    """(tag, the rest)."""
    line = reader.readline().decode()
    if not line:
        raise OSError("the client has left")
    tag, _, rest = line.rstrip("\r\n").partition(" ")
    return tag, rest


def with_a_server_of_its_own(function):
    """For a test that kills it."""

    @functools.wraps(function)
    def run_alone(self):
        own = Tests(self.program, self.impatient)
        own.prepare()
        try:
            function(own)
        finally:
            own.finish()

    return run_alone


class Tests:
    folders = itertools.count(1)

    def __init__(self, program, impatient):
        self.program, self.impatient = program, impatient
        self.dovecot = None

    def prepare(self):
        """One Dovecot for all; each test has a folder of its own."""
        self.dovecot = Dovecot().start()

    def finish(self):
        self.dovecot.remove()

    def client(self):
        client = imaplib.IMAP4("127.0.0.1", self.dovecot.client_port)
        client.login("keys", self.dovecot.users["keys"])
        return client

    def folder(self, name=None):
        name = name or "case%d" % next(self.folders)
        client = self.client()
        client.create(name)
        client.logout()
        return name

    def append(self, folder, *contents):
        client = self.client()
        for content in contents:
            status, answer = client.append(folder, None, None, content.encode())
            assert status == "OK", answer
        client.logout()

    def flags(self, folder):
        """{subject: flags} of the mails there."""
        client = self.client()
        client.select('"%s"' % folder, readonly=True)
        _, data = client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        client.logout()
        found = {}
        for item in data:
            if isinstance(item, tuple):
                subject = item[1].decode().partition(":")[2].strip()
                found[subject] = set(imaplib.ParseFlags(item[0]))
        return {key: {flag.decode() for flag in value} - {"\\Recent"} for key, value in found.items()}

    def wait_flags(self, folder, expected):
        wait_for(lambda: self.flags(folder) == expected, "%r, not %r" % (expected, self.flags(folder)))

    def route(self, program=None, **settings):
        return MailRoute(
            program or self.program,
            {"imap_username": "keys", "poll_seconds": "1", "ca_file": self.dovecot.certificate, **settings},
            {"imap-password": self.dovecot.users["keys"] + "\n"})

    def start(self, route, folder, port=None):
        return route.start("imaps://localhost:%d/%s" % (port or self.dovecot.imaps_port, folder))

    @test
    def what_lies_there_and_what_comes_is_taken_and_marked_but_not_seen(self):
        folder = self.folder()
        self.append(folder, MAIL % "one", MAIL % "two")
        with self.route() as route:
            self.start(route, folder)
            arrivals = route.wait_arrivals(2)
            assert {a["digest"] for a in arrivals} == {
                digest((MAIL % name).encode()) for name in ("one", "two")}
            assert all(a["path"] is None and a["recipient"] is None for a in arrivals)
            route.wait_route(True)
            self.append(folder, MAIL % "three")
            route.wait_arrivals(3)
            self.wait_flags(folder, {name: {"$VestibuleTaken"} for name in ("one", "two", "three")})
            time.sleep(2.5)  # two more polls find nothing
            assert len(route.arrivals()) == 3

    @test
    def what_is_refused_is_flagged_and_what_has_to_wait_stays(self):
        folder = self.folder()
        self.append(folder, MAIL % "bad")
        with self.route() as route:
            self.start(route, folder)
            route.wait_arrivals(1)
            self.wait_flags(folder, {"bad": {"$VestibuleTaken"}})
            route.say("policy refused")
            self.append(folder, MAIL % "worse")
            route.wait_arrivals(2)
            self.wait_flags(folder, {"bad": {"$VestibuleTaken"}, "worse": {"$VestibuleTaken", "\\Flagged"}})
            route.say("policy later")
            self.append(folder, MAIL % "patient")
            repeated = route.wait_arrivals(4)[2:]
            assert repeated[0]["digest"] == repeated[1]["digest"]
            assert self.flags(folder)["patient"] == set()
            route.say("policy taken")
            wait_for(lambda: self.flags(folder)["patient"] == {"$VestibuleTaken"}, "it is taken")

    @test
    def a_crash_between_the_ack_and_the_mark_repeats_the_mail(self):
        folder = self.folder()
        self.append(folder, MAIL % "again")
        with self.route() as route:
            self.start(route, folder)
            route.wait_arrivals(1)
            route.say("policy hold")
            self.append(folder, MAIL % "held")
            [held] = [a for a in route.wait_arrivals(2) if "held" in a["text"]]
            assert self.flags(folder)["held"] == set()
            route.kill()
            self.start(route, folder)
            [again] = [a for a in route.wait_arrivals(1) if "held" in a["text"]]
            assert again["digest"] == held["digest"]
            self.wait_flags(folder, {"again": {"$VestibuleTaken"}, "held": {"$VestibuleTaken"}})

    @test
    @with_a_server_of_its_own
    def a_server_that_is_killed_loses_nothing(self):
        folder = self.folder()
        self.append(folder, *[MAIL % i for i in range(10)])
        with self.route() as route:
            self.start(route, folder)
            before = len(route.wait_arrivals(10))
            route.say("policy hold")
            self.append(folder, *[MAIL % i for i in range(10, 20)])
            held = route.wait_arrivals(before + 2)[before:]
            self.dovecot.kill()
            route.wait_route(False)
            for arrival in route.arrivals()[before:]:
                route.settle(arrival, "taken")
            assert held
            route.say("policy taken")
            self.dovecot.start()
            route.wait_route(True)
            wanted = {digest((MAIL % i).encode()) for i in range(20)}
            wait_for(lambda: {a["digest"] for a in route.arrivals()} == wanted, "all mails")
            self.wait_flags(folder, {str(i): {"$VestibuleTaken"} for i in range(20)})
            assert len(route.arrivals()) == 20, "what was settled while it was away came again"

    @test
    @with_a_server_of_its_own
    def uids_that_mean_other_mails_are_learned_anew(self):
        folder = self.folder()
        with self.route() as route:
            self.start(route, folder)
            route.wait_route(True)
            route.say("policy hold")
            self.append(folder, MAIL % "old")
            [old] = route.wait_arrivals(1)
            time.sleep(1.1)  # UIDVALIDITY is made of seconds
            # Dovecot refuses a mail to a folder that it has just taken away from somebody who looks at it.
            other = self.folder()
            self.append(other, MAIL % "new")
            client = self.client()
            client.rename(folder, folder + "-was")
            client.rename(other, folder)
            client.logout()
            self.restart_dovecot(route)
            arrivals = route.wait_arrivals(2)
            assert arrivals[1]["digest"] == digest((MAIL % "new").encode())
            route.settle(old, "refused")
            route.settle(arrivals[1], "taken")
            self.wait_flags(folder, {"new": {"$VestibuleTaken"}})
            assert self.flags(folder + "-was") == {"old": set()}

    def restart_dovecot(self, route):
        self.dovecot.kill()
        self.dovecot.start()
        route.wait_route(True)

    @test
    def what_people_do_meanwhile_is_no_error(self):
        folder = self.folder()
        self.append(folder, MAIL % "gone", MAIL % "read", MAIL % "stays")
        client = self.client()
        client.select(folder)
        client.store("2", "+FLAGS", "\\Seen")
        client.store("1", "+FLAGS", "\\Deleted")
        with self.route() as route:
            self.start(route, folder)
            subjects = sorted(a["text"].split()[3] for a in route.wait_arrivals(2))
            assert subjects == ["read", "stays"]
            route.say("policy hold")
            self.append(folder, MAIL % "held")
            [held] = route.wait_arrivals(3)[2:]
            client.noop()
            client.store("4", "+FLAGS", "\\Deleted")
            client.expunge()
            route.settle(held, "taken")
            self.append(folder, MAIL % "last")
            route.wait_arrivals(4)
            client.logout()
            assert route.errors_text() == ""

    @test
    def a_folder_may_have_any_name(self):
        quoted = "Antw. &- Gr&APwA3w-e \\\"&U,BTFw-\\\""
        client = self.client()
        status, answer = client.create('"%s"' % quoted)
        assert status == "OK", answer
        client.append('"%s"' % quoted, None, None, (MAIL % "x").encode())
        client.logout()
        with self.route() as route:
            self.start(route, "Antw.%20%26%20Gr%C3%BC%C3%9Fe%20%22%E5%8F%B0%E5%8C%97%22")
            route.wait_arrivals(1)

    @test
    def a_thousand_old_mails_and_more_are_taken_each_once(self):
        folder = self.folder()
        path = os.path.join(self.dovecot.maildir("keys"), "." + folder, "cur")
        for i in range(1100):
            with open(os.path.join(path, "%d.M%dP1.mx:2,S" % (1700000000 + i, i)), "w") as file:
                file.write(MAIL % i)
            shutil.chown(os.path.join(path, file.name), "nobody", "nogroup")
        with self.route() as route:
            start = time.monotonic()
            self.start(route, folder)
            arrivals = route.wait_arrivals(1100)
            note("1,100 mails in %.1f s" % (time.monotonic() - start))
            wait_for(lambda: all(f == {"\\Seen", "$VestibuleTaken"} for f in self.flags(folder).values()),
                       "all are marked")
            assert len({a["digest"] for a in arrivals}) == len(route.arrivals()) == 1100

    @test
    def a_mail_that_is_too_large_is_never_fetched(self):
        folder = self.folder()
        path = os.path.join(self.dovecot.maildir("keys"), "." + folder, "cur", "1700000000.M1P1.mx:2,")
        with open(path, "wb") as file:
            file.write(b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 10600)
        shutil.chown(path, "nobody", "nogroup")
        with self.route() as route:
            self.start(route, folder)
            self.append(folder, MAIL % "small")
            [arrival] = route.wait_arrivals(1)
            assert "small" in arrival["text"]
            self.wait_flags(folder, {"large": {"$VestibuleTaken", "\\Flagged"},
                                     "small": {"$VestibuleTaken"}})
            assert route.memory() < 40 << 20

    @test
    def a_busy_channel_gets_no_more_than_it_wants_and_in_the_end_all(self):
        folder = self.folder()
        with self.route() as route:
            self.start(route, folder)
            route.say("policy hold")
            route.say("limit 2")
            self.append(folder, *[MAIL % i for i in range(8)])
            for i in range(8):
                arrivals = route.wait_arrivals(min(i + 2, 8))
                assert len(arrivals) == min(i + 2, 8)
                route.settle(arrivals[i], "taken")
            self.wait_flags(folder, {str(i): {"$VestibuleTaken"} for i in range(8)})

    @test
    def a_wrong_password_is_told_and_not_tried_often(self):
        tries = []

        def script(connection, reader):
            connection.sendall(b"* OK hello\r\n")
            tag, _ = command(reader)
            connection.sendall(("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n%s OK\r\n" % tag).encode())
            tag, _ = command(reader)
            connection.sendall(b"+ \r\n")
            tries.append(reader.readline())
            connection.sendall(("%s NO [AUTHENTICATIONFAILED] no\r\n" % tag).encode())
            reader.readline()

        double = Double(self.dovecot, script)
        with self.route() as route:
            self.start(route, "INBOX", double.port)
            route.wait_route(False, "not-logged-in")
            time.sleep(2)
            assert len(tries) == 1
            assert self.dovecot.users["keys"] not in route.errors_text()
        double.close()

    @test
    def a_certificate_of_nobody_we_know_is_refused_before_anything_is_said(self):
        heard = []

        def script(connection, reader):
            heard.append(reader.readline())

        double = Double(self.dovecot, script)
        with self.route(ca_file="") as route:
            route.settings["ca_file"] = route.path("other.pem")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "2", "-keyout", os.devnull, "-out", route.path("other.pem"), "-subj", "/CN=localhost",
                 "-addext", "subjectAltName=DNS:localhost"],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.start(route, "INBOX", double.port)
            route.wait_route(False, "bad-certificate")
        with self.route(ca_file="/not/there.pem") as route:
            self.start(route, "INBOX", double.port)
            route.wait_route(False, "no-issuers")
        with self.route() as route:
            route.start("imaps://127.0.0.1:%d/INBOX" % double.port)  # not a name in it
            route.wait_route(False, "bad-certificate")
        assert not any(heard)
        double.close()

    @test
    def where_no_keyword_is_kept_the_mark_is_seen(self):
        said = []

        def script(connection, reader):
            log_in(connection, reader, flags="\\Seen \\Deleted")
            while True:
                tag, text = command(reader)
                said.append(text)
                if "SEARCH" in text:
                    found = "" if any("STORE" in t for t in said) else " 7"
                    connection.sendall(("* SEARCH%s\r\n" % found).encode())
                elif "SIZE" in text:
                    connection.sendall(b"* 1 FETCH (UID 7 RFC822.SIZE 3)\r\n")
                elif "PEEK" in text:
                    connection.sendall(b"* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n")
                connection.sendall(("%s OK\r\n" % tag).encode())

        double = Double(self.dovecot, script)
        with self.route() as route:
            self.start(route, "INBOX", double.port)
            [arrival] = route.wait_arrivals(1)
            assert arrival["text"] == "abc"
            wait_for(lambda: "UID STORE 7 +FLAGS.SILENT (\\Seen)" in said, "a mark")
            assert "UID SEARCH UID 1:* UNDELETED UNSEEN" in said
        assert not double.trouble, double.trouble
        double.close()

    @test
    def a_server_that_forgets_marks_makes_nobody_work(self):
        said = []

        def script(connection, reader):
            log_in(connection, reader)
            while True:
                tag, text = command(reader)
                said.append(text)
                if "SEARCH" in text:
                    connection.sendall(b"* SEARCH 7\r\n")
                elif "SIZE" in text:
                    connection.sendall(b"* 1 FETCH (UID 7 RFC822.SIZE 3)\r\n")
                elif "PEEK" in text:
                    connection.sendall(b"* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n")
                connection.sendall(("%s OK\r\n" % tag).encode())

        double = Double(self.dovecot, script)
        with self.route() as route:
            self.start(route, "INBOX", double.port)
            wait_for(lambda: len([t for t in said if "SEARCH" in t]) >= 5, "polls")
            assert len(route.arrivals()) == 1
            assert len([t for t in said if "PEEK" in t]) == 1
            assert "does not keep the mark" in route.errors_text()
        double.close()

    @test
    def a_server_that_answers_without_end_costs_a_bounded_memory(self):
        sent = [0]

        def flood(head, piece, count):
            def script(connection, reader):
                log_in(connection, reader)
                tag, _ = command(reader)
                connection.sendall(head % tag.encode() if b"%s" in head else head)
                for _ in range(count):
                    connection.sendall(piece)
                    sent[0] += len(piece)
                reader.readline()
            return script

        for what, head, piece in (
                ("one line", b"* SEARCH", b" 1234567" * 8192),
                ("many lines", b"", b"* 7 EXISTS\r\n" * 5000),
                ("many that were found", b"", (b"* SEARCH" + b" 1" * 30000 + b"\r\n")),
                ("a literal", b"* 1 FETCH (UID 1 BODY[] {4000000000}\r\n", b"x" * 65536)):
            double = Double(self.dovecot, flood(head, piece, 600))
            with self.route() as route:
                self.start(route, "INBOX", double.port)
                wait_for(lambda: double.accepted >= 1, "a connection")
                peak = 0
                limit = time.monotonic() + 2
                while time.monotonic() < limit:
                    peak = max(peak, route.memory())
                    time.sleep(0.02)
                note("%s: %d MiB at most" % (what, peak >> 20))
                assert peak < 40 << 20
            double.close()

    @test
    def a_server_that_trickles_is_not_listened_to_for_ever(self):
        def trickle(connection, reader):
            log_in(connection, reader)
            command(reader)
            while True:
                connection.sendall(b"* 7 EXISTS\r\n")
                time.sleep(0.1)

        double = Double(self.dovecot, trickle)
        with self.route(program=self.impatient) as route:
            self.start(route, "INBOX", double.port)
            wait_for(lambda: double.accepted >= 2, "another connection")
        double.close()

    @test
    def a_server_that_closes_at_once_is_asked_with_patience(self):
        double = Double(self.dovecot, lambda connection, reader: connection.sendall(b"* BYE too many\r\n"))
        with self.route() as route:
            self.start(route, "INBOX", double.port)
            route.wait_route(False, "server-leaves")
            before = double.accepted
            time.sleep(2)
            assert double.accepted - before <= 1
        double.close()

    @test
    def settings_that_cannot_work_end_the_start(self):
        good = "imaps://localhost:1/INBOX"
        for place, settings in ((good, {"imap_username": None}), ("imaps://user@localhost/INBOX", {}),
                                (good, {"poll_seconds": "0"}), (good, {"poll_seconds": "x"}),
                                ("imaps://localhost/a%0d%0ab", {}), ("imaps://", {})):
            with self.route(**settings) as route:
                route.settings = {k: v for k, v in route.settings.items() if v is not None}
                route.start(place, wait=False)
                assert route.process.wait(PATIENCE) == 78, place
                assert route.errors_text()
                route.process = None

    @test
    def room_that_nobody_tells_of_is_found(self):
        folder = self.folder()
        self.append(folder, MAIL % "patient")
        with self.route(poll_seconds="1") as route:
            route.start("imaps://localhost:%d/%s" % (self.dovecot.imaps_port, folder))
            route.wait_arrivals(1)
            route.say("limit 0")
            self.append(folder, MAIL % "waits")
            route.wait(lambda: any(event["event"] == "busy" for event in route.events), "it has looked")
            assert len(route.arrivals()) == 1
            route.say("quietly 1")
            route.wait_arrivals(2)

    @test
    def polling_costs_next_to_no_processor_time(self):
        folder = self.folder()
        with self.route(poll_seconds="1") as route:
            self.start(route, folder)
            route.wait_route(True)
            before = route.cpu()
            time.sleep(4)  # not for something to happen, but to see what nothing costs
            spent = route.cpu() - before
            note("four polls: %.0f ms" % (spent * 1000))
            assert spent <= 0.05


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP Dovecot needs root to change to its users")
        return 0
    tests = Tests(sys.argv[1], sys.argv[2])
    tests.prepare()
    try:
        return run(side_by_side(tests_of(tests), sys.argv[3:]), sys.argv[3:])
    finally:
        tests.finish()


if __name__ == "__main__":
    sys.exit(main())
