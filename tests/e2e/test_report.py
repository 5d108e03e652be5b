"""A bounce on its way from the mail server to the gateway: whoever dies in between, it counts, and once."""

import base64
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.lmtp_client import Client  # noqa: E402
from harness.smtp_double import SmtpDouble  # noqa: E402
from harness.vestibule import Plugin, Site, events_of, hotel_policy, options_of_test, wait_until  # noqa: E402

MAIL, PHONE = "mailto:bob@example.org", "sms:+4915112345678"
REPORT = (
    "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.test\r\nTo: %s\r\nMessage-ID: <1@mx.test>\r\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=q\r\n\r\n"
    "--q\r\n\r\nSorry.\r\n--q\r\nContent-Type: message/delivery-status\r\n\r\n"
    "Reporting-MTA: dns; mx.test\r\nOriginal-Envelope-Id: %s\r\n\r\n"
    "Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--q--\r\n")


class MailThenText(Site):
    """The real email plugin, with a mail server that takes everything, and text messages by hand."""

    def __init__(self, build):
        self.double = SmtpDouble()
        super().__init__(build, channels=("email", "sms"), sockets=("sms",), wait=False,
                         policies=hotel_policy("email", "sms"))

    def make_credentials(self):
        super().make_credentials()
        self.write_secret(base64.b64encode(os.urandom(32)), "email", "mail-key")

    def channel_section(self, name):
        if name == "sms":
            return 'channel sms {\n  socket = "%s"\n}\n' % self.path("sms")
        return ('channel email {\n  from = "keys@hotel.test"\n  submit = "smtp://127.0.0.1:%d"\n'
                '  receive = { "lmtp:%s" }\n  %s\n}\n' % (
                    self.double.port, self.path("lmtp"),
                    self.exec_line(self.program("plugins", "email", "vestibule-email"))))

    def start(self):
        super().start()
        self.meet()
        return self

    def meet(self):
        self.sms = Plugin(self.path("sms"), "sms", timeout=60)
        self.wait_plugins()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.double.stop()

    def connect(self):
        try:
            return Client(self.path("lmtp"))
        except OSError:
            return None

    def hand_in(self, path, envelope):
        """Everything up to the answer, for which the connection stays open."""
        client = wait_until(self.connect, 60, "the plugin listens")
        for line, code in (("MAIL FROM:<>", 250), ("RCPT TO:<%s>" % path, 250), ("DATA", 354)):
            assert client.ask(line)[0] == code, line
        client.send(REPORT % (path, envelope) + ".\r\n")
        return client


class Tests:
    def __init__(self, options):
        self.build = options.build

    def check(self, moment):
        with MailThenText(self.build) as site:
            share = site.create(MAIL, PHONE)
            (mail,) = site.double.wait_mails(1)
            site.wait_state(share, "invited")
            path, envelope = re.match(
                r"MAIL FROM:<([^>]+)> RET=HDRS ENVID=<?([!-~]+?)>? SIZE", mail.sender).groups()
            if moment == "unread":
                os.kill(site.gateway.pid, signal.SIGSTOP)
            with site.hand_in(path, envelope) as client:
                if moment == "durable":
                    site.sms.read_until("send")
                site.kill_gateway()
                code = client.answer()[0]
            assert code != 250 or moment != "unread", code
            site.sms.close()
            site.start_gateway(wait_plugins=False)
            site.meet()
            if code != 250 or moment == "durable":  # a mail server hands in what it was not told is taken
                with site.hand_in(path, envelope) as client:
                    assert client.answer()[0] == 250
            invitation = site.sms.read_until("send")
            site.sms.write({"type": "sent", "id": invitation["id"]})
            assert (invitation["kind"], invitation["to"]) == ("invitation", PHONE)
            with site.hand_in(path, envelope) as client:  # and perhaps once too often
                assert client.answer()[0] == 250
            site.sms.reply(PHONE, "%s %s" % (share["tag"], share["code"]), authentic="weak",
                           thread=invitation["thread"])
            link = site.sms.read_until("send")
            assert link["kind"] == "link", link
            found = site.wait_state(share, "released")
            assert events_of(found).count("not_delivered") == events_of(found).count("fallback") == 1
            assert len(site.double.mails) == 1

    @tap.test
    def a_gateway_that_dies_before_it_reads_a_bounce_gets_it_again(self):
        self.check("unread")

    @tap.test
    def a_gateway_that_dies_when_it_has_a_bounce_does_not_count_it_twice(self):
        self.check("durable")

    @tap.test
    def a_gateway_that_dies_somewhere_in_between_loses_nothing(self):
        for _ in range(3):
            self.check("between")


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
