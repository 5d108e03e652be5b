"""The email plugin is killed when the gateway has a mail and nobody was told yet: over each way in, the
same mail comes again under the same identity, and only once more.

usage: mail-crash.py PROGRAM [TEST…]
"""

import base64
import imaplib
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.dovecot import Dovecot
from harness.frames import PATIENCE, Gateway
from harness.lmtp_client import Client
from harness.process import wait_for
from harness.smtp_double import SmtpDouble
from harness.tap import Skip, run, test, tests_of

US, BOB = "keys@hotel.test", "bob@guests.test"
MAIL = ("Authentication-Results: mx.hotel.test; dmarc=pass header.from=guests.test\r\n"
        "From: Bob <%s>\r\nTo: %s\r\nMessage-ID: <%%s@guests.test>\r\nSubject: Re: x\r\n\r\n%%s\r\n" % (BOB, US))


class Killer(Gateway):
    """A gateway that has the first reply durable, answers it, and finds the plugin dead: it was stopped
    before it could read the answer."""

    def __init__(self, program, receive, **settings):
        self.double = SmtpDouble()
        self.mode = "kill"
        super().__init__(program, "email", {
            "from": US, "submit": "smtp://127.0.0.1:%d" % self.double.port, "receive": [receive],
            "authserv_id": "mx.hotel.test", **settings},
            {"mail-key": base64.b64encode(bytes(32)).decode(), "imap-password": Dovecot.users["keys"]})
        self.inbounds = []

    def _take(self, frame):
        if frame["type"] == "reply" and self.mode == "kill":
            os.kill(self.process.pid, signal.SIGSTOP)
            self.answer(frame, {"type": "ack"})
            os.kill(self.process.pid, signal.SIGKILL)
        if frame["type"] == "reply" and self.mode == "again":
            self.on_request = lambda _: {"type": "again", "retry_after": 1}
        elif frame["type"] == "reply":
            self.on_request = lambda _: {"type": "ack"}
        if frame["type"] == "reply":
            self.inbounds.append((frame["inbound"], frame["text"], frame["authentic"]))
        super()._take(frame)

    def restart(self):
        """When the plugin is dead."""
        self.process.wait(PATIENCE)
        self.wait(lambda: self.closed, PATIENCE, "the connection's end")
        self.connection.close()
        self.forget()
        self.mode = "ack"
        self.start().wait_up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.double.stop()
        self.remove()


class Tests:
    def __init__(self, program):
        self.program = program

    def check(self, gateway, count=2):
        assert len(gateway.inbounds) == count, gateway.inbounds
        assert len(set(gateway.inbounds)) == 1, gateway.inbounds
        assert gateway.inbounds[0][2] == "strong"

    @test
    def lmtp_is_not_answered_and_the_repetition_is_the_same(self):
        with Killer(self.program, "lmtp:/") as gateway:
            path = os.path.join(gateway.folder, "lmtp")
            gateway.settings["receive"] = ["lmtp:" + path]
            gateway.start().wait_up()
            with Client(path) as client:
                client.send("MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (BOB, US))
                client.send(MAIL % (1, "once") + ".\r\n")
                assert client.codes(4) == [250, 250, 354, 0]
            gateway.restart()
            with Client(path) as client:
                assert client.deliver((MAIL % (1, "once")).encode(), US, sender=BOB) == [250]
            self.check(gateway)

    @test
    def what_the_gateway_cannot_take_now_is_given_back_and_comes_again_as_the_same(self):
        with Killer(self.program, "lmtp:/") as gateway:
            path = os.path.join(gateway.folder, "lmtp")
            gateway.settings["receive"] = ["lmtp:" + path]
            gateway.mode = "again"
            gateway.start().wait_up()
            with Client(path) as client:
                content = (MAIL % (2, "later")).encode()
                assert client.deliver(content, US, sender=BOB) == [451]
                gateway.mode = "ack"
                assert client.deliver(content, US, sender=BOB) == [250]
            self.check(gateway)

    @test
    def a_maildir_s_mail_stays_in_new_and_is_taken_once_more(self):
        with Killer(self.program, "maildir:/") as gateway:
            maildir = os.path.join(gateway.folder, "Maildir")
            for name in ("tmp", "new", "cur"):
                os.makedirs(os.path.join(maildir, name))
            gateway.settings["receive"] = ["maildir:" + maildir]
            with open(os.path.join(maildir, "tmp", "1.x"), "w") as file:
                file.write(MAIL % (3, "in a folder"))
            os.rename(os.path.join(maildir, "tmp", "1.x"), os.path.join(maildir, "new", "1.x"))
            gateway.start()
            gateway.process.wait(PATIENCE)
            assert os.listdir(os.path.join(maildir, "new")) == ["1.x"]
            gateway.restart()
            wait_for(lambda: os.listdir(os.path.join(maildir, "cur")) == ["1.x:2,S"], "it is moved")
            self.check(gateway)

    @test
    def a_mailbox_s_mail_has_no_mark_and_is_taken_once_more(self):
        if os.geteuid() != 0:
            raise Skip("Dovecot needs root to change to its users")
        with Dovecot() as dovecot, Killer(
                self.program, "imaps://localhost:%d/INBOX" % dovecot.imaps_port, imap_username="keys",
                poll_seconds="1", ca_file=dovecot.certificate) as gateway:
            client = imaplib.IMAP4("127.0.0.1", dovecot.client_port)
            client.login("keys", dovecot.users["keys"])
            client.append("INBOX", None, None, (MAIL % (4, "in a mailbox")).encode())
            client.select("INBOX")

            def flags():
                client.noop()
                return set(imaplib.ParseFlags(client.fetch("1", "(FLAGS)")[1][0])) - {b"\\Recent"}

            gateway.start()
            gateway.process.wait(PATIENCE)
            assert flags() == set()
            gateway.restart()
            wait_for(lambda: flags() == {b"$VestibuleTaken"}, "it is marked")
            self.check(gateway)
            client.logout()


def main():
    return run(tests_of(Tests(sys.argv[1])), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
