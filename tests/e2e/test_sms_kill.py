"""kill -9 of anything at any moment, over each way to a carrier: what was acknowledged is not lost, and what
is repeated is known again. Shares live beside one another while the channel, the gateway and the carrier's
own processes are killed at random moments. The seed is printed; --seed repeats its choices.

What nobody can know after a kill is whether the carrier took what it did not answer. So a part may leave
again, and be paid for again, once for a kill that came between; over a service that takes an identity of
ours, never."""

import collections
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.kannel import KannelCarrier  # noqa: E402
from harness.modem_carrier import ModemCarrier  # noqa: E402
from harness.rest_carrier import RestCarrier  # noqa: E402
from harness.sms_carrier import SmsSite  # noqa: E402
from harness.smsc import SmppCarrier  # noqa: E402
from harness.vestibule import (  # noqa: E402
    URL, Plugin, events_of, hotel_policy, mistyped, options_of_test, share_number, wait_until)

PATIENCE = 90  # seconds for what is certain to come
FORGOTTEN = 2.5  # seconds after which a person whose text may be lost writes again
LAST_WORDS = 1  # seconds until the last that a killed program has said is heard
INVITATION, NOT_UNDERSTOOD, MISTYPED, LINK = "a room key", "not understood", "mistyped", "Open this link"


class Life:
    """One share: an invitation, two answers that get a notice, the right one, and the link."""

    def __init__(self, run, number):
        self.run, self.carrier, self.site = run, run.carrier, run.site
        self.guest = "+4915112%06d" % number
        self.written = collections.Counter()  # how often, by the notice that it asks for

    def live(self):
        self.share = self.site.create("sms:" + self.guest, insist=PATIENCE)
        self.wait_for(INVITATION)
        self.texts = {NOT_UNDERSTOOD: "who is this? 🙂", MISTYPED: mistyped(self.share["code"]),
                      LINK: self.share["code"]}
        for word, text in self.texts.items():
            self.texts[word] = "%s %s" % (self.share["tag"], text)
            self.say(word)
        self.found = self.site.wait(self.share, self.has_ended, "the end of " + self.guest, PATIENCE, insist=True)

    def has_ended(self, found):
        """The link was taken, and delivered: its report is never lost but by who keeps it in memory."""
        events = events_of(found)
        if "link_accepted" not in events:
            return False
        return self.run.loses_receipts() or "delivered" in events[events.index("releasing"):]

    def wait_for(self, word, timeout=PATIENCE):
        return self.carrier.wait_for_message(self.guest, word, timeout=timeout)

    def say(self, word):
        """Writes, and again where a network has forgotten it."""
        while True:
            with self.run.network:
                handle = self.carrier.answer(self.guest, self.texts[word])
            self.written[word] += 1
            if not self.carrier.forgets:
                self.carrier.wait_taken(handle, PATIENCE)
                return self.wait_for(word)
            try:
                return self.wait_for(word, FORGOTTEN)
            except AssertionError:
                assert self.written[word] < 20, "nothing that is written arrives"

    def check(self):
        events = events_of(self.found)
        assert events.count("invitation_accepted") <= 1 == events.count("link_accepted"), events
        assert events.count("confirmed") == 1 and events.count("delivered") <= 2, events
        ((notices,),) = self.site.rows("SELECT answers FROM share WHERE n = ?", share_number(self.share["id"]))
        effects = {MISTYPED: events.count("mistyped"), NOT_UNDERSTOOD: notices - events.count("mistyped")}
        for word, count in effects.items():
            # What we acknowledged had its effect, once; what had none was lost before that.
            assert self.taken(word) <= count <= self.written[word], (word, self.taken(word), count, self.written)
        self.check_texts()
        self.check_copies()

    def taken(self, word):
        """How often we have told the carrier that we have it."""
        if not self.carrier.forgets:
            return 1
        return self.carrier.taken.count((self.guest, self.texts[word]))

    def check_texts(self):
        shown = self.carrier.messages(self.guest)
        for word in (INVITATION, NOT_UNDERSTOOD, MISTYPED, LINK):
            assert any(word in text.text for text in shown), word
        assert len({url for text in shown for url in URL.findall(text.text)}) == 1
        assert not any("\ufffd" in text.text for text in shown), shown

    def check_copies(self):
        """A part has one name, however often it left, and it left again only when something was killed."""
        copies = collections.defaultdict(list)
        for copy in self.carrier.copies:
            if copy.to == self.guest:
                copies[copy.content].append(copy)
        for same in copies.values():
            assert len({copy.name for copy in same}) == 1, "a repetition that nobody can know: %s" % same
            for one, next_one in zip(same, same[1:]):
                assert self.run.killed_between(one.time, next_one.time), "sent twice for nothing: %s" % same
        self.run.repeated += sum(len(same) - 1 for same in copies.values())


class Run:
    """Lives beside one another, and kills among them."""

    n_workers = 6
    seconds = 15  # for kills; on a slow machine each victim dies once only

    def __init__(self, site, carrier, chance):
        self.site, self.carrier, self.chance = site, carrier, chance
        self.network = threading.RLock()  # held by who writes, and while the carrier is killed
        self.lives, self.errors, self.killed = [], [], []  # killed: (begin, end, victim)
        self.enough = False
        self.repeated = 0

    def work(self, worker):
        number = worker
        while not self.enough and not self.errors:
            life = Life(self, number)
            try:
                life.live()
            except BaseException as error:
                self.errors.append(error)
                return
            self.lives.append(life)
            number += self.n_workers

    def victims(self):
        def carrier(kill):
            with self.network:
                kill()

        found = {name: lambda kill=kill: carrier(kill) for name, kill in self.carrier.victims().items()}
        return {**found, "channel": self.kill_channel, "gateway": self.kill_gateway}

    def kill_channel(self):
        wait_until(lambda: self.site.kill_child("sms"), PATIENCE, "there is a channel to kill")

    def kill_gateway(self):
        self.site.kill_gateway()
        self.site.start_gateway(wait_plugins=False)

    def killed_between(self, begin, end):
        return any(killed <= end and begin <= over + LAST_WORDS for killed, over, _ in self.killed)

    def loses_receipts(self):
        """smsbox keeps them in memory, and ModemManager does."""
        return self.carrier.forgets or any(victim == "ModemManager" for _, _, victim in self.killed)

    def wait_for_a_moment(self):
        """A random one; every other time the one at which the carrier has just taken something."""
        time.sleep(self.chance.random() * 0.8)
        if self.chance.random() < 0.5:
            with self.carrier.changed:
                count = len(self.carrier.copies)
                self.carrier.changed.wait_for(lambda: len(self.carrier.copies) > count, 1)

    def kill(self):
        victims = self.victims()
        order = [name for _ in range(2) for name in self.chance.sample(list(victims), len(victims))]
        limit = time.monotonic() + self.seconds
        for name in order:
            self.wait_for_a_moment()
            if self.errors or (time.monotonic() > limit and len(self.killed) >= len(victims)):
                return
            begin = time.monotonic()
            victims[name]()
            self.killed.append((begin, time.monotonic(), name))

    def run(self):
        threads = [threading.Thread(target=self.work, args=(worker,), daemon=True) for worker in range(self.n_workers)]
        for thread in threads:
            thread.start()
        try:
            self.kill()
        finally:
            self.enough = True
        for thread in threads:
            thread.join(2 * PATIENCE)
        if self.errors:
            raise self.errors[0]
        assert not any(thread.is_alive() for thread in threads), "a share never ended"
        assert {name for _, _, name in self.killed} == set(self.victims()), "killed were only %s" % self.killed
        for life in self.lives:
            life.check()


class TwoChannels(SmsSite):
    """SMS, and then mail, which the test plays."""

    def __init__(self, build, carrier):
        super().__init__(build, carrier, channels=("sms", "email"), sockets=("email",), wait=False,
                         policies=hotel_policy("sms", "email"))

    def channel_section(self, name):
        if name == "sms":
            return super().channel_section(name)
        return 'channel email {\n  socket = "%s"\n}\n' % self.path("email")

    def connect(self):
        self.email = Plugin(self.path("email"), "email", timeout=PATIENCE)
        self.wait_plugins()


class Tests:
    def __init__(self, options):
        self.build = options.build
        self.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
        tap.note("--seed %d" % self.seed)

    def nothing_is_lost(self, carrier):
        with carrier, SmsSite(self.build, carrier) as site:
            run = Run(site, carrier, random.Random("%d/%s" % (self.seed, carrier.driver)))
            run.run()
            rewritten = sum(sum(life.written.values()) - len(life.written) for life in run.lives)
            tap.note("%s: %d lives, killed %s; %d parts left again, %d answers had to be written again" % (
                carrier.driver, len(run.lives), ", ".join(name for _, _, name in run.killed), run.repeated, rewritten))

    @tap.test
    def over_smpp_nothing_is_lost(self):
        self.nothing_is_lost(SmppCarrier(self.build))

    @tap.test
    def over_kannel_nothing_is_lost(self):
        self.nothing_is_lost(KannelCarrier(self.build))

    @tap.test
    def over_a_rest_service_nothing_is_lost(self):
        self.nothing_is_lost(RestCarrier(self.build))

    @tap.test
    def over_a_modem_nothing_is_lost(self):
        self.nothing_is_lost(ModemCarrier(self.build))


    @tap.test
    def over_a_modem_a_report_outlives_the_gateway(self):
        """The gateway dies between a report of failure and its answer: the report stays on the modem, and the next
        address is asked once."""
        carrier = ModemCarrier(self.build, report=None)
        with carrier, TwoChannels(self.build, carrier) as site:
            site.connect()
            share = site.create("sms:" + carrier.guest, "mailto:bob@example.org")
            carrier.wait_for_message(carrier.guest, INVITATION)
            site.wait_state(share, "invited")
            os.kill(site.gateway.pid, signal.SIGSTOP)
            report = carrier.report_failure(carrier.guest)
            time.sleep(0.3)  # it is on its way; where it is when the gateway dies does not matter
            with carrier.changed:
                assert not carrier.is_reported(report), "what only a dead gateway knows is acknowledged"
            site.kill_gateway()
            site.start_gateway(wait_plugins=False)
            site.connect()
            frame = site.email.read_until("send")
            assert (frame["kind"], frame["to"]) == ("invitation", "mailto:bob@example.org"), frame
            site.email.write({"type": "sent", "id": frame["id"]})
            carrier.wait(lambda: carrier.is_reported(report), "the report is taken")
            events = events_of(site.show(share))
            assert events.count("not_delivered") == events.count("fallback") == 1, events


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.side_by_side(tap.tests_of(Tests(arguments)), arguments.names), arguments.names))
