"""The email plugin with its ways in, one and several at once: which of them is closed, and what they cost
while no mail comes.

usage: routes.py PROGRAM [TEST…]
"""

import base64
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.dovecot import Dovecot
from harness.frames import PATIENCE, Gateway
from harness.process import scheduled
from harness.server_folder import free_port
from harness.smtp_double import SmtpDouble
from harness.tap import Skip, note, run, side_by_side, test, tests_of

US = "keys@hotel.test"
IDLE_SECONDS = 22  # longer than from one poll of a mailbox to the next
IDLE_MAX = 0.001  # of a core


class Hotel(Gateway):
    def __init__(self, program, *receive, **settings):
        self.double = SmtpDouble()
        super().__init__(program, "email", {
            "from": US, "submit": "smtp://127.0.0.1:%d" % self.double.port, **settings},
            {"mail-key": base64.b64encode(bytes(32)).decode(), "imap-password": Dovecot.users["keys"]})
        self.settings["receive"] = [place.replace("FOLDER", self.folder) for place in receive]

    def maildir(self, name):
        for part in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(self.folder, name, part))

    def remove_maildir(self, name):
        shutil.rmtree(os.path.join(self.folder, name))

    def wait_status(self, up, reason=""):
        def newest():
            states = [frame for _, frame in self.log if frame["type"] == "status"]
            return states and (states[-1]["up"], states[-1]["reason"]) == (up, reason)

        self.wait(newest, PATIENCE, "the status %s %s" % (up, reason))

    def states(self):
        return [(frame["up"], frame["reason"]) for frame in self.frames("status")]

    def send(self):
        number = self.ask("send", message="msg_01j00000000000000000000001", kind="invitation",
                          to="mailto:bob@guests.test", lang="en", subject="A key", text="A key for you\n",
                          thread="thr_01j00000000000000000000000", made=1795356000,
                          expires=int(time.time()) + 3600)
        assert self.wait_answer(number)["type"] == "sent"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.double.stop()
        self.remove()


class Tests:
    def __init__(self, program):
        self.program = program

    @test
    def of_several_ways_in_the_status_says_which_is_closed(self):
        with Hotel(self.program, "lmtp:FOLDER/lmtp", "maildir:FOLDER/first", "maildir:FOLDER/second") as hotel:
            hotel.wait_status(False, "receive-2-maildir-is-away")
            hotel.maildir("first")
            hotel.wait_status(False, "receive-3-maildir-is-away")
            hotel.remove_maildir("first")
            hotel.wait_status(False, "receive-2-maildir-is-away")
            hotel.maildir("second")
            hotel.maildir("first")
            hotel.wait_status(True)
            assert hotel.states().count((True, "")) == 1, hotel.states()

    @test
    def the_only_way_in_needs_no_number(self):
        with Hotel(self.program, "maildir:FOLDER/only") as hotel:
            hotel.wait_status(False, "maildir-is-away")

    @test
    def a_mailbox_that_works_hides_no_other_that_does_not(self):
        if os.geteuid() != 0:
            raise Skip("Dovecot needs root to change to its users")
        with Dovecot() as dovecot, Hotel(
                self.program, "imaps://localhost:%d/INBOX" % dovecot.imaps_port,
                "imaps://localhost:%d/INBOX" % free_port(), imap_username="keys",
                ca_file=dovecot.certificate) as hotel:
            hotel.wait_status(False, "receive-2-no-connection")  # so that the first is up
            assert (True, "") not in hotel.states(), hotel.states()

    @test
    def no_way_in_costs_a_thousandth_of_a_core_while_no_mail_comes(self):
        """Each alone and all at once, in the same seconds."""
        ways = {"lmtp": ["lmtp:FOLDER/lmtp"], "maildir": ["maildir:FOLDER/mail"]}
        dovecot = Dovecot().__enter__() if os.geteuid() == 0 else None
        settings = {}
        if dovecot:
            ways["imaps"] = ["imaps://localhost:%d/INBOX" % dovecot.imaps_port]
            settings = {"imap_username": "keys", "ca_file": dovecot.certificate}
        else:
            note("imaps: Dovecot needs root, not looked at")
        ways["all"] = [place for places in ways.values() for place in places]
        hotels = {name: Hotel(self.program, *places, **settings) for name, places in ways.items()}
        try:
            for hotel in hotels.values():
                hotel.maildir("mail")
                hotel.start().wait_up()
                hotel.send()
            before = {name: scheduled(hotel.process.pid) for name, hotel in hotels.items()}
            start = time.monotonic()
            time.sleep(IDLE_SECONDS)
            took = time.monotonic() - start
            for name, hotel in hotels.items():
                used, turns = [b - a for a, b in zip(before[name], scheduled(hotel.process.pid))]
                note("%s: %.4f %% of a core, %d turns" % (name, 100 * used / took, turns))
                assert used / took < IDLE_MAX, name
                assert turns > 0 or name not in ("imaps", "all"), "it did not look into the mailbox"
        finally:
            for hotel in hotels.values():
                hotel.__exit__()
            if dovecot:
                dovecot.__exit__(None, None, None)


def main():
    return run(side_by_side(tests_of(Tests(sys.argv[1])), sys.argv[2:]), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
