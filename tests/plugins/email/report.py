"""What a mail server reports about a mail of ours, handed to the gateway: over each way in the report is
put away when the gateway has it and not before, whoever dies in between.

usage: report.py PROGRAM [TEST…]
"""

import base64
import imaplib
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.dovecot import Dovecot
from harness.frames import PATIENCE, Gateway
from harness.lmtp_client import Client
from harness.process import wait_for
from harness.smtp_double import SmtpDouble
from harness.tap import Skip, run, side_by_side, test, tests_of

US, BOB = "keys@hotel.test", "bob@guests.test"
MESSAGE = "msg_01j00000000000000000000001"
FAILED = {"says": "failed", "permanent": True, "reason": "smtp-5-1-1"}
LOST = {"says": "failed", "permanent": False, "reason": "smtp-4-4-7"}


def report_about(to, action="failed", status="5.1.1", envelope=None):
    return ("Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.test\r\nTo: %s\r\nSubject: Delivery report\r\n"
            "Message-ID: <%s@mx.test>\r\nAuto-Submitted: auto-replied\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=q\r\n\r\n"
            "--q\r\n\r\nSorry.\r\n--q\r\nContent-Type: message/delivery-status\r\n\r\n"
            "Reporting-MTA: dns; mx.test\r\n%s\r\n"
            "Final-Recipient: rfc822; %s\r\nAction: %s\r\nStatus: %s\r\n\r\n--q--\r\n" % (
                to, action, "Original-Envelope-Id: %s\r\n" % envelope if envelope else "", BOB, action,
                status)).encode()


class Hotel(Gateway):
    """The plugin, a mail server that takes everything, and a gateway that answers reports as `answers`
    says, one after the other, and with `ack` from then on: `again`, "die" (the gateway is killed before
    it answers) and "kill" (the plugin, before it can read the answer)."""

    def __init__(self, program, receive, answers=(), **settings):
        self.double = SmtpDouble()
        self.answers_left = list(answers)
        self.reports = []
        super().__init__(program, "email", {
            "from": US, "submit": "smtp://127.0.0.1:%d" % self.double.port, "authserv_id": "mx.hotel.test",
            **settings}, {"mail-key": base64.b64encode(bytes(32)).decode(),
                          "imap-password": Dovecot.users["keys"]}, on_request=self.on_report)
        self.settings["receive"] = [receive % self.folder if "%s" in receive else receive]

    def on_report(self, frame):
        assert frame["type"] == "report", frame
        answer = self.answers_left.pop(0) if self.answers_left else "ack"
        self.reports.append({k: v for k, v in frame.items() if k not in ("type", "id", "message")})
        assert frame["message"] == MESSAGE
        if answer == "die":
            self.connection.close()
            return None
        if answer == "kill":
            os.kill(self.process.pid, signal.SIGSTOP)
            self.answer(frame, {"type": "ack"})
            os.kill(self.process.pid, signal.SIGKILL)
            return None
        return {"type": answer, "retry_after": 1} if answer == "again" else {"type": answer}

    def send(self, **members):
        """Sends a mail; returns its return path and its envelope id, as a mail server has them."""
        number = self.ask("send", message=MESSAGE, kind="invitation", to="mailto:" + BOB, lang="en",
                          subject="A key", text="A key for you\n", thread="thr_01j00000000000000000000000",
                          made=1795356000, expires=int(time.time()) + 3600, **members)
        assert self.wait_answer(number)["type"] == "sent"
        sender = self.double.mails[-1].sender
        path, envelope = re.match(r"MAIL FROM:<([^>]+)> RET=HDRS ENVID=<?([!-~]+?)>? SIZE", sender).groups()
        return path, envelope.replace("+2B", "+")

    def restart(self):
        """When the plugin is dead, or its gateway is."""
        assert self.process.wait(PATIENCE) in (0, -signal.SIGKILL)
        self.connection.close()
        self.forget()
        self.start().wait_up()

    @property
    def place(self):
        return self.settings["receive"][0].split(":", 1)[1]

    def __enter__(self):
        self.start().wait_up()
        return self

    def __exit__(self, *_):
        self.stop()
        self.double.stop()
        self.remove()


def deliver(hotel, content, to):
    """What LMTP says in the end; 0: the connection was closed instead."""
    with Client(hotel.place) as client:
        assert client.ask("MAIL FROM:<>")[0] == 250
        assert client.ask("RCPT TO:<%s>" % to)[0] == 250
        assert client.ask("DATA")[0] == 354
        client.send(content + b".\r\n")
        return client.answer()[0]


class Folder:
    """A Maildir."""

    def __init__(self, hotel):
        self.path = hotel.place

    def put(self, content, name="1.x"):
        with open(os.path.join(self.path, "tmp", name), "wb") as file:
            file.write(content)
        os.rename(os.path.join(self.path, "tmp", name), os.path.join(self.path, "new", name))

    def names(self, folder):
        return os.listdir(os.path.join(self.path, folder))

    @staticmethod
    def make(hotel):
        for name in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(hotel.place, name))


class Tests:
    def __init__(self, program):
        self.program = program

    def lmtp(self, *answers):
        return Hotel(self.program, "lmtp:%s/lmtp", answers)

    @test
    def a_report_says_what_became_of_which_repetition(self):
        with self.lmtp() as hotel:
            path, first = hotel.send()
            _, third = hotel.send(repeat=2)
            for content, expected in (
                    (report_about(path, envelope=first), {**FAILED, "repeat": 0}),
                    (report_about(path, envelope=third), {**FAILED, "repeat": 2}),
                    (report_about(path, envelope=third.replace("+", "+2B")), {**FAILED, "repeat": 2}),
                    (report_about(path), FAILED),
                    (report_about(path, envelope="another"), FAILED),
                    (report_about(path, status="4.4.7", envelope=third), {**LOST, "repeat": 2}),
                    (report_about(path, "delivered", "2.0.0", third), {"says": "delivered", "repeat": 2})):
                hotel.reports.clear()
                assert deliver(hotel, content, path) == 250
                assert hotel.reports == [expected], hotel.reports

    @test
    def what_says_nothing_about_a_mail_of_ours_is_put_away(self):
        with self.lmtp() as hotel:
            path, envelope = hotel.send()
            assert deliver(hotel, report_about(path, "delayed", "4.4.1", envelope), path) == 250
            assert deliver(hotel, report_about(path, "relayed", "2.0.0", envelope), path) == 250
            assert deliver(hotel, report_about(US, envelope=envelope), US) == 250
            assert hotel.reports == []

    @test
    def lmtp_says_250_when_the_gateway_has_the_report(self):
        with self.lmtp("again") as hotel:
            path, envelope = hotel.send()
            content = report_about(path, envelope=envelope)
            assert [deliver(hotel, content, path) for _ in range(2)] == [451, 250]
            assert hotel.reports == [{**FAILED, "repeat": 0}] * 2

    @test
    def lmtp_keeps_the_report_when_the_gateway_is_killed(self):
        with self.lmtp("die") as hotel:
            path, envelope = hotel.send()
            content = report_about(path, envelope=envelope)
            assert deliver(hotel, content, path) in (451, 421, 0)
            hotel.restart()
            assert deliver(hotel, content, path) == 250
            assert hotel.reports == [{**FAILED, "repeat": 0}] * 2

    @test
    def lmtp_keeps_the_report_when_the_plugin_is_killed(self):
        with self.lmtp("kill") as hotel:
            path, envelope = hotel.send()
            content = report_about(path, envelope=envelope)
            assert deliver(hotel, content, path) == 0
            hotel.restart()
            assert deliver(hotel, content, path) == 250
            assert hotel.reports == [{**FAILED, "repeat": 0}] * 2

    @test
    def a_gateway_that_is_silent_leaves_the_report_with_the_mail_server(self):
        with self.lmtp() as hotel:
            path, envelope = hotel.send()
            hotel.on_request = lambda frame: None
            start = time.monotonic()
            assert deliver(hotel, report_about(path, envelope=envelope), path) == 451
            assert time.monotonic() - start >= 25  # the deadline of PROTOCOL.md is 30 s

    @test
    def no_number_of_reports_is_more_than_the_gateway_takes_at_once(self):
        """What it has not answered is bounded; the others wait and lose nothing."""
        with self.lmtp() as hotel:
            path, envelope = hotel.send()
            hotel.on_request = lambda frame: None
            clients = [Client(hotel.place) for _ in range(300)]
            for client in clients:
                client.send("MAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n" % path)
                client.send(report_about(path, envelope=envelope) + b".\r\n")
            hotel.wait(lambda: sum(f["type"] == "report" for _, f in hotel.log) >= 256, PATIENCE, "256 reports")
            asked = hotel.frames("report")
            assert len(asked) == 256
            hotel.on_request = lambda frame: {"type": "ack"}
            for frame in asked:
                hotel.answer(frame, {"type": "ack"})
            assert [client.codes(4) for client in clients] == [[250, 250, 354, 250]] * len(clients)
            assert len(hotel.frames("report")) == len(clients)
            for client in clients:
                client.close()

    def check_maildir(self, answer):
        hotel = Hotel(self.program, "maildir:%s/Maildir", [answer])
        Folder.make(hotel)
        with hotel:
            folder = Folder(hotel)
            path, envelope = hotel.send()
            folder.put(report_about(path, envelope=envelope))
            if answer != "again":
                hotel.process.wait(PATIENCE)
                assert folder.names("new") == ["1.x"] and folder.names("cur") == []
                hotel.restart()
            wait_for(lambda: folder.names("cur") == ["1.x:2,S"], "it is moved")
            assert hotel.reports == [{**FAILED, "repeat": 0}] * 2 and folder.names("new") == []

    @test
    def a_maildir_keeps_the_report_until_the_gateway_has_it(self):
        for answer in ("die", "kill", "again"):
            self.check_maildir(answer)

    @test
    def a_mailbox_keeps_the_report_unmarked_until_the_gateway_has_it(self):
        if os.geteuid() != 0:
            raise Skip("Dovecot needs root to change to its users")
        for answer in ("die", "kill", "again"):
            with Dovecot() as dovecot, Hotel(
                    self.program, "imaps://localhost:%d/INBOX" % dovecot.imaps_port, [answer],
                    imap_username="keys", poll_seconds="1", ca_file=dovecot.certificate) as hotel:
                path, envelope = hotel.send()
                client = imaplib.IMAP4("127.0.0.1", dovecot.client_port)
                client.login("keys", dovecot.users["keys"])
                client.append("INBOX", None, None, report_about(path, envelope=envelope))
                client.select("INBOX")

                def flags():
                    client.noop()
                    return set(imaplib.ParseFlags(client.fetch("1", "(FLAGS)")[1][0])) - {b"\\Recent"}

                if answer != "again":
                    hotel.process.wait(PATIENCE)
                    assert flags() == set()
                    hotel.restart()
                wait_for(lambda: flags() == {b"$VestibuleTaken"}, "it is marked")
                assert hotel.reports == [{**FAILED, "repeat": 0}] * 2
                client.logout()


def main():
    return run(side_by_side(tests_of(Tests(sys.argv[1])), sys.argv[2:]), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
