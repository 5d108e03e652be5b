"""Mail over servers that are killed, are full, or say "later": what was acknowledged is not lost, what was
said has its effect once, and what is repeated is the same mail under the same Message-ID.

The random kills print their seed; --seed repeats their choices."""

import email
import email.policy
import os
import random
import re
import signal
import smtplib
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.mail_site import (  # noqa: E402
    PATIENCE, ImapRoute, LmtpRoute, MaildirRoute, MailGuest, MailServers, MailSite, part_of)
from harness.server_folder import free_port  # noqa: E402
from harness.vestibule import (  # noqa: E402
    URL, events_of, mistyped, options_of_test, wait_until, wrong_code)

INVITATION, MISTYPED, WRONG, LINK = "a room key", "mistyped", "not right", "Open this link"
ROUTES = {"lmtp": LmtpRoute, "maildir": MaildirRoute, "imap": ImapRoute}


class Inbox:
    """The guests' common mailbox, of which each mail is read once."""

    def __init__(self, servers, user="bob"):
        self.path = servers.dovecot.maildir(user)
        self.lock = threading.Lock()
        self.mails = {}  # by the file's name without flags: (octets, the mail)

    def look(self):
        with self.lock:
            for folder in ("new", "cur"):
                place = os.path.join(self.path, folder)
                for name in os.listdir(place) if os.path.isdir(place) else ():
                    key = name.partition(":")[0]
                    if key not in self.mails:
                        with open(os.path.join(place, name), "rb") as file:
                            raw = file.read()
                        self.mails[key] = raw, email.message_from_bytes(raw, policy=email.policy.default)
            return list(self.mails.values())

    def of(self, share, contains):
        return [mail for _, mail in self.look()
                if share["tag"] in mail["Subject"] and contains in part_of(mail, "plain")]

    def wait(self, share, contains):
        return wait_until(lambda: self.of(share, contains), PATIENCE,
                          "a mail with %r" % contains, pause=0.1)[0]

    def check_repeats(self):
        """What came more than once is the same mail, as far as we wrote it. Returns how many repeats."""
        contents = {}
        for raw, mail in self.look():
            content = raw[re.search(rb"^Date: ", raw, re.MULTILINE).start():]
            assert contents.setdefault(mail["Message-ID"], content) == content, mail["Message-ID"]
        return len(self.mails) - len(contents)


class Life:
    """One share: an invitation, a mistyped code, perhaps a wrong one, the right one, and the link. The
    first address of some is one that a server refuses after Postfix has taken the mail."""

    def __init__(self, run, number):
        self.run, self.site, self.inbox = run, run.site, run.inbox
        self.bounces, self.wrong = number % 3 == 2, number % 2
        self.share = self.found = None

    def create(self):
        addresses = ["mailto:nobody@guests.test"] * self.bounces + [self.run.guest.address]
        self.share = self.site.create(*addresses, insist=PATIENCE)
        return self

    def say(self, mail, text):
        """As a mail program does, which keeps what no server has taken."""
        answer = self.run.guest.reply_to(mail, text)

        def hand_in():
            try:
                return self.run.guest.send(answer)
            except (OSError, smtplib.SMTPException):
                return None

        wait_until(hand_in, PATIENCE, "the guest's server takes an answer", pause=0.1)

    def live(self):
        code = self.share["code"]
        invitation = self.inbox.wait(self.share, INVITATION)
        self.say(invitation, mistyped(code) + " 🙂")
        self.inbox.wait(self.share, MISTYPED)
        if self.wrong:
            self.say(invitation, wrong_code(code))
            self.inbox.wait(self.share, WRONG)
        self.say(invitation, code)
        (url,) = set(URL.findall(part_of(self.inbox.wait(self.share, LINK), "plain")))
        received = self.site.receive(url)
        assert received.returncode == 0, received.stderr
        self.found = self.site.wait(self.share, lambda found: found["state"] == "completed", "the end",
                                    timeout=PATIENCE, insist=True)

    def check(self):
        events = events_of(self.found)
        expected = {"link_accepted": 1, "confirmed": 1, "released": 1, "mistyped": 1, "wrong": self.wrong,
                    "not_delivered": self.bounces, "fallback": self.bounces}
        assert {event: events.count(event) for event in expected} == expected, (expected, events)
        # The guest may have answered before the gateway was told that the invitation had left.
        assert events.count("invitation_accepted") <= 1 + self.bounces, events
        assert self.found["attempts_left"] == 2 - self.wrong, self.found["attempts_left"]


class Run:
    """Lives beside one another, and kills among them."""

    n_lives, n_rounds = 6, 2  # a round kills each of the victims once

    def __init__(self, site, servers, seed):
        self.site, self.servers = site, servers
        self.chance = random.Random(seed)
        self.guest, self.inbox = MailGuest(servers, "bob"), Inbox(servers)
        self.errors = []

    def kill(self, what):
        if what == "gateway":
            self.site.kill_gateway()
            self.site.start_gateway(wait_plugins=False)
        elif what == "email":
            wait_until(lambda: self.site.kill_child("email"), PATIENCE, "the plugin lives")
        else:
            server = getattr(self.servers, what)
            server.kill()
            if what == "postfix":
                self.check_accepted()
            server.start()

    def check_accepted(self):
        """Every invitation that is said to have been sent is in Postfix's queue, or has left it."""
        accepted = [life.share for life in self.lives if not life.bounces and
                    "invitation_accepted" in events_of(self.site.show(life.share, insist=PATIENCE))]
        # One that Postfix was reading when it was killed has no subject yet, and was not answered.
        queued = [mail["Subject"] or "" for mail in self.servers.postfix.queued_mails()]
        for share in accepted:
            assert self.inbox.of(share, INVITATION) or any(share["tag"] in subject for subject in queued), (
                "an invitation was lost", share["tag"], queued)

    def live(self, life):
        try:
            life.live()
        except BaseException as error:
            self.errors.append(error)
            raise

    def run(self):
        self.lives = [Life(self, number).create() for number in range(self.n_lives)]
        threads = [threading.Thread(target=self.live, args=(life,), daemon=True) for life in self.lives]
        for thread in threads:
            thread.start()
        for _ in range(self.n_rounds):
            victims = ["gateway", "email", "postfix", "dovecot"]
            self.chance.shuffle(victims)
            for victim in victims:
                time.sleep(self.chance.random() * 0.7)  # a random moment, not a wait for something
                self.kill(victim)
        for thread in threads:
            thread.join(2 * PATIENCE)
        assert not self.errors and not any(thread.is_alive() for thread in threads), self.errors
        for life in self.lives:
            life.check()
        return len(self.inbox.look()), self.inbox.check_repeats()


class Between:
    """Between the plugin and Postfix, without TLS. It can keep to itself that Postfix has taken a mail,
    and says when Postfix has."""

    def __init__(self, target):
        self.target, self.port = target, free_port()
        self.holds = threading.Event()
        self.took = threading.Semaphore(0)
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=32)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        for source, sink, answers in ((client, server, False), (server, client, True)):
            threading.Thread(target=self.pump, args=(source, sink, answers), daemon=True).start()

    def pump(self, source, sink, answers):
        try:
            while True:
                content = source.recv(65536)
                if not content:
                    break
                if answers and b"queued as" in content and self.holds.is_set():
                    self.took.release()
                    continue
                sink.sendall(content)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class SiteBetween(MailSite):
    """Hands its mail in through Between."""

    def __init__(self, build, servers, between, **options):
        self.between = between
        super().__init__(build, servers, **options)

    def channel_section(self, name):
        text = super().channel_section(name)
        text = re.sub(r'submit = ".*?"', 'submit = "smtp://127.0.0.1:%d"' % self.between.port, text)
        return text.replace("starttls = required", "starttls = no").replace('  username = "keys"\n', "")


class Tests:
    def __init__(self, options):
        self.build = options.build
        self.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)

    def kills(self, route):
        start = time.monotonic()
        with MailServers(ROUTES[route]()) as servers, MailSite(self.build, servers) as site:
            mails, repeats = Run(site, servers, "%d %s" % (self.seed, route)).run()
        tap.note("%s: seed %d, %d mails, %d of them repeats, %.0f s" % (
            route, self.seed, mails, repeats, time.monotonic() - start))

    @tap.test
    def kills_of_anything_lose_nothing_with_lmtp(self):
        self.kills("lmtp")

    @tap.test
    def kills_of_anything_lose_nothing_with_a_maildir(self):
        self.kills("maildir")

    @tap.test
    def kills_of_anything_lose_nothing_with_imap(self):
        self.kills("imap")

    @tap.test
    def a_mail_that_was_taken_when_all_died_comes_again_as_the_same(self):
        """Postfix has it, and nobody was told: by a cut line, a killed plugin, a killed gateway."""
        with MailServers(LmtpRoute()) as servers:
            between = Between(servers.postfix.component_port)
            with SiteBetween(self.build, servers, between) as site:
                inbox = Inbox(servers)
                for cut in (servers.postfix.kill, lambda: site.kill_child("email"), site.kill_gateway):
                    between.holds.set()
                    share = site.create("mailto:bob@guests.test")
                    assert between.took.acquire(timeout=PATIENCE)
                    assert events_of(site.show(share)) == ["created"]
                    number = inbox.wait(share, INVITATION)["Message-ID"]
                    cut()
                    between.holds.clear()
                    if cut == servers.postfix.kill:
                        servers.postfix.start()
                    elif cut == site.kill_gateway:
                        site.start_gateway()
                    found = site.wait_state(share, "invited", timeout=PATIENCE, insist=True)
                    wait_until(lambda: len(inbox.of(share, INVITATION)) >= 2, PATIENCE, "it comes again")
                    assert {mail["Message-ID"] for mail in inbox.of(share, INVITATION)} == {number}
                    inbox.check_repeats()
                    assert servers.postfix.maillog().count("message-id=%s\n" % number) == 2
                    assert events_of(found).count("invitation_accepted") == 1
            between.close()

    @tap.test
    def a_full_queue_and_answers_of_later_slow_things_down_and_lose_nothing(self):
        with MailServers(LmtpRoute()) as servers, MailSite(self.build, servers) as site:
            guest, inbox, postfix = MailGuest(servers, "bob"), Inbox(servers), servers.postfix
            postfix.set(queue_minfree=10**15)
            shares = [site.create(guest.address) for _ in range(6)]
            wait_until(lambda: postfix.maillog().count("Insufficient system storage") >= 2, PATIENCE, "452")
            wait_until(lambda: site.rows("SELECT attempts, dead FROM outbox") == [(0, 0)] * len(shares), PATIENCE,
                       "nothing counts as a try")
            assert {event for share in shares for event in events_of(site.show(share))} == {"created"}
            assert not inbox.look()
            postfix.set(queue_minfree=0)
            invitations = [inbox.wait(share, INVITATION) for share in shares]
            for share, mail in zip(shares, invitations):
                guest.answer(mail, wrong_code(share["code"]))
            for share in shares:
                wait_until(lambda: events_of(site.show(share)).count("wrong") == 1, PATIENCE, "a wrong one")
            # What a gateway that is stuck does not take is told to come later.
            os.kill(site.gateway.pid, signal.SIGSTOP)
            try:
                for share, mail in zip(shares, invitations):
                    guest.answer(mail, share["code"])
                wait_until(lambda: "status=deferred" in postfix.maillog() and "said: 451" in postfix.maillog(),
                           PATIENCE, "451")
            finally:
                os.kill(site.gateway.pid, signal.SIGCONT)
            for share in shares:
                inbox.wait(share, LINK)
                events = events_of(site.wait_event(share, "link_accepted"))
                expected = {"invitation_accepted": 1, "wrong": 1, "confirmed": 1, "link_accepted": 1}
                assert {event: events.count(event) for event in expected} == expected, events
            postfix.wait_empty()
            log = postfix.maillog()
            later = set(re.findall(r": (\w+): to=<keys\+r.* dsn=4\.\d\.\d, status=deferred .*said: 451", log))
            assert later, "nothing was told to come later"
            for queued in later:
                assert len(re.findall(r": %s: to=<keys\+r.*status=sent \(250" % queued, log)) == 1, queued
            assert "status=bounced" not in log
            assert len(inbox.look()) == 6 * 3 and inbox.check_repeats() == 0


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    if os.geteuid() != 0:
        print("1..0 # SKIP Postfix and Dovecot need root to change to their users")
        sys.exit(0)
    sys.exit(tap.run(tap.side_by_side(tap.tests_of(Tests(arguments)), arguments.names), arguments.names))
