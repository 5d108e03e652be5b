#!/usr/bin/python3
"""How fast replies come in by LMTP, beside Dovecot's own LMTP with the same client, the same mails and as
many connections, in the same round. Prints one JSON object a line, then a table. For ./dev bench.

vestibule   vestibule-email under a real vestibuled: 250 is said when the gateway's answer is durable, as
            it is for Dovecot when the mail is on its disk; both write to the same file system. The mails
            are replies to invitations of shares that wait: each bears the share's token, is vouched for,
            comes from the address bound, and says something that is no code. After each round the store
            is asked whether each of them is in it, once.
peer        the same with a frame peer for a gateway, which acknowledges at once: what the plugin takes
            by itself. No goal.
dovecot     into a Maildir, by its own LMTP, which knows the plus-addresses' user.

All listen on Unix sockets. The client is one process; each of its connections hands in one mail after
the other. The two that are compared take turns in being first; ratios are taken within each round, and
their median is what counts. Status 0: everything was measured and the goal is met.
"""

import email
import email.utils
import itertools
import os
import selectors
import socket
import sys
import time

import rounds
from harness.dovecot import Dovecot
from harness.frames import Gateway
from harness.mail_site import LmtpRoute, MailSite
from harness.smtp_double import SmtpDouble

GOAL = 1.0
CONNECTIONS = 8
SHARES = 64
US = "keys@hotel.test"
MAIL = """\
Authentication-Results: mx.hotel.test; dmarc=pass header.from=guests.test\r
Received: from mail.guests.test (mail.guests.test [192.0.2.7])\r
\tby mx.hotel.test (Postfix) with ESMTPS id 4F2%06d; Sun, 22 Nov 2026 12:00:00 +0000 (UTC)\r
From: =?utf-8?q?Bob_M=C3=BCller?= <%s>\r
To: Hotel <%s>\r
Subject: Re: =?utf-8?q?G=C3=A4stehaus?=\r
Date: Sun, 22 Nov 2026 12:00:00 +0000\r
Message-ID: <%d.%d@guests.test>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
Danke schön 🙂, wir kommen um %d Uhr.\r
\r
Am 22.11.2026 um 12:04 schrieb Gästehaus Größ:\r
""" + "> Gästehaus Größ teilt einen Zimmerschlüssel mit Ihnen, und das ist eine Zeile davon.\r\n" * 15 + ".\r\n"
numbers = itertools.count(1)


class Guest:
    """Somebody with an invitation; `token` is the address that it is answered to."""

    def __init__(self, mailbox, token):
        self.mailbox, self.token = mailbox, token
        self.envelope = ("MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (mailbox, token)).encode()

    def mail(self):
        number = next(numbers)
        return (MAIL % (number, self.mailbox, self.token, number, os.getpid(), number % 24)).encode()


class Connection:
    """Hands in one mail after the other, envelope and content, each of the next guest."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb")
        assert self.reader.readline().startswith(b"220")
        self.socket.sendall(b"LHLO bench.test\r\n")
        while self.reader.readline()[3:4] != b" ":
            pass
        self.socket.setblocking(False)
        self.input, self.taken = b"", 0

    def begin(self, guest):
        self.guest = guest
        self.socket.send(guest.envelope)
        self.expected = 3

    def heard(self):
        """True when a mail was taken."""
        self.input += self.socket.recv(65536)
        *lines, self.input = self.input.split(b"\r\n")
        for line in lines:
            assert line[:3] in (b"250", b"354") and line[3:4] == b" ", line
            self.expected -= 1
            if line[:3] == b"354":
                content = self.guest.mail()
                assert self.socket.send(content) == len(content)
                self.expected = 1
            elif self.expected == 0:
                return True
        return False

    def close(self):
        self.reader.close()
        self.socket.close()


def deliver(path, guests, seconds):
    """For about so long: mails a second."""
    turns = itertools.cycle(guests)
    connections = [Connection(path) for _ in range(CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.begin(next(turns))
    begin, taken, busy = time.monotonic(), 0, CONNECTIONS
    while busy > 0:
        for key, _ in selector.select(60):
            if not key.data.heard():
                continue
            taken += 1
            if time.monotonic() - begin < seconds:
                key.data.begin(next(turns))
            else:
                busy -= 1
    took = time.monotonic() - begin
    for connection in connections:
        connection.close()
    selector.close()
    return {"connections": CONNECTIONS, "mails": taken, "seconds": round(took, 3), "rate": round(taken / took, 1)}


class Servers:
    """What MailSite wants to know of mail servers; none is asked anything here."""

    def __init__(self, dovecot, double):
        self.dovecot, self.postfix, self.route = dovecot, double, LmtpRoute()


class BenchSite(MailSite):
    def channel_section(self, name):
        if name != "email":
            return super().channel_section(name)
        lines = ['from = "%s"' % US, 'submit = "smtp://127.0.0.1:%d"' % self.servers.postfix.port,
                 'receive = { "lmtp:%s" }' % self.path("lmtp"), 'authserv_id = "mx.hotel.test"',
                 "authentic = strong", self.exec_line(self.program("plugins", "email", "vestibule-email"))]
        return "channel email {\n%s}\n" % "".join("  %s\n" % line for line in lines)


class Peer(Gateway):
    """A gateway that acknowledges at once and keeps nothing, with the key of the one that invited."""

    def __init__(self, site, double):
        with open(os.path.join(site.credentials, "email", "mail-key")) as key:
            super().__init__(site.program("plugins", "email", "vestibule-email"), "email", {
                "from": US, "submit": "smtp://127.0.0.1:%d" % double.port, "authserv_id": "mx.hotel.test"},
                {"mail-key": key.read()})
        self.lmtp = os.path.join(self.folder, "lmtp")
        self.settings["receive"] = ["lmtp:" + self.lmtp]

    def _take(self, frame):
        if frame["type"] == "reply":
            self.answer(frame, {"type": "ack"})
        else:
            super()._take(frame)

    def __enter__(self):
        self.start().wait_up()
        return self

    def __exit__(self, *_):
        self.stop()
        self.remove()


def invite(site, double):
    """Shares that wait for an answer, and whom they invited."""
    shares = [site.create("mailto:bob%d@guests.test" % number) for number in range(SHARES)]
    for share in shares:
        site.wait_state(share, "invited")
    mails = [email.message_from_bytes(mail.data) for mail in double.wait_mails(SHARES)]
    return shares, [Guest(email.utils.parseaddr(mail["To"])[1], email.utils.parseaddr(mail["Reply-To"])[1])
                    for mail in mails]


def kept(site):
    """The replies that are in the store."""
    return site.rows("SELECT count(*) FROM seen")[0][0]


def check_shares(site, shares):
    """That nothing became of them: no code was among the replies, and none was taken for one."""
    for share in shares:
        found = site.show(share)
        assert (found["state"], found["attempts_left"]) == ("invited", 3), found
    assert site.operator("GET", "/readyz").json["counters"]["replies_unbound"] == 0


def measure(build, n_rounds, seconds):
    double = SmtpDouble()
    try:
        with Dovecot() as dovecot, BenchSite(build, Servers(dovecot, double), log_level="warning") as site, \
                Peer(site, double) as peer:
            shares, guests = invite(site, double)
            paths = {"vestibule": site.path("lmtp"), "dovecot": os.path.join(dovecot.folder, "run", "lmtp"),
                     "peer": peer.lmtp}
            for who in ("vestibule", "dovecot"):
                deliver(paths[who], guests, 0.5)
            for number in range(n_rounds):
                for who in (*rounds.turns(number, "vestibule", "dovecot"), "peer"):
                    before = kept(site)
                    result = {"bench": "lmtp", "who": who, "round": number + 1,
                              **deliver(paths[who], guests, seconds)}
                    assert kept(site) - before == (result["mails"] if who == "vestibule" else 0)
                    yield result
            check_shares(site, shares)
    finally:
        double.stop()


def main():
    options = rounds.parse(rounds.parser("Benchmark of mail that comes in.", 5))
    if os.geteuid() != 0:
        print("lmtp: not measured, because Dovecot needs root")
        return 0
    results = rounds.collect(measure(options.build, options.rounds, 1 if options.quick else 2))
    rounds.print_medians(
        "LMTP, %d connections" % CONNECTIONS, results,
        [(who, {"who": who}) for who in ("vestibule", "dovecot", "peer")], [("per s", "rate")])
    return 0 if rounds.judge(
        ("replies per second by LMTP, of Dovecot's",
         rounds.ratio(results, {"who": "vestibule"}, {"who": "dovecot"}), ">=", GOAL)) else 1


if __name__ == "__main__":
    sys.exit(main())
