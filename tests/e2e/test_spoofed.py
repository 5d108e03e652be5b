"""What somebody can do who writes in another person's name, which on SMS everybody can: nothing confirms, ends,
blocks for long or spends attempts without the reference, whatever the carrier says of the sender. And what the
words do with it, in the recipient's language, over a channel and a carrier as they are."""

import itertools
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.modem_carrier import ModemCarrier  # noqa: E402
from harness.sms_carrier import SmsSite as CarrierSite  # noqa: E402
from harness.vestibule import options_of_test, plain, wrong_code  # noqa: E402
from test_channels import BOB, DAY, EVE, SmsSite  # noqa: E402

WORDS = ("NO", "NOT ME", "HELP", "DONE", "TAKEN", "YES", "READY")


def tags_but(*tags):
    """References as they may be, other than these."""
    symbols = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
    for letters in itertools.product("78", symbols, "KQ", "45"):
        tag = "".join(letters)
        if tag not in tags:
            yield tag


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def a_carrier_that_vouches_for_a_number_is_not_believed(self):
        with SmsSite(self.build) as site:
            share, _ = site.invite()
            before = site.show(share)

            def say(text):
                number = site.plugin.reply(BOB, text, authentic="strong")
                sent = []
                while True:
                    frame = site.plugin.read()
                    if frame["type"] == "ack" and frame["id"] == number:
                        return sent
                    if frame["type"] == "send":
                        site.plugin.write({"type": "sent", "id": frame["id"]})
                        sent.append(frame)

            texts = (share["code"], plain(share["code"]), wrong_code(share["code"]), *WORDS, "STOP")
            hint, question = [frame for text in texts for frame in say(text)]
            assert "unasked" not in hint, "who answers late in the evening is not left without a word"
            assert question["unasked"] is True and "%s STOP" % share["tag"] in question["text"], question
            assert site.show(share) == before
            assert len(site.blocks()) == 1 and site.blocks()[0] < 1.1 * DAY, site.blocks()

    @tap.test
    def one_persons_reference_is_worth_nothing_from_anothers_number(self):
        with SmsSite(self.build) as site:
            mine, _ = site.invite()
            theirs, _ = site.invite(address=EVE)
            before = [site.show(share) for share in (mine, theirs)]
            for sender, tag in ((BOB, theirs["tag"]), (EVE, mine["tag"])):
                for text in (mine["code"], theirs["code"], wrong_code(mine["code"]), *WORDS, "STOP"):
                    site.say("%s %s" % (tag, text), sender=sender)
            assert [site.show(share) for share in (mine, theirs)] == before
            assert len(site.blocks()) == 2 and max(site.blocks()) < 1.1 * DAY, site.blocks()

    @tap.test
    def guessed_references_cost_the_person_nothing(self):
        with SmsSite(self.build) as site:
            share, _ = site.invite()
            before, sent = site.show(share), []
            for number, tag in enumerate(itertools.islice(tags_but(share["tag"]), 60)):
                sent += site.say("%s %s" % (tag, (wrong_code(share["code"], number), "NO", "NOT ME")[number % 3]))
            sent += site.nothing_else()
            assert len(sent) == 1, "one hint, however much is guessed"
            assert site.show(share) == before and site.blocks() == []
            site.say("%s %s" % (share["tag"], share["code"]))
            assert site.take()["kind"] == "link"

    @tap.test
    def what_was_asked_for_with_the_reference_is_not_shortened_without_it(self):
        with SmsSite(self.build) as site:
            share, _ = site.invite()
            site.say("%s STOP" % share["tag"])
            site.wait_state(share, "declined")
            (until,) = [block + time.time() for block in site.blocks()]
            assert until - time.time() > 29 * DAY
            for text in ("STOP", "0000 STOP", "START", "YES"):
                site.say(text)
            (again,) = [block + time.time() for block in site.blocks()]
            assert abs(again - until) < 60, (again, until)

    @tap.test
    def over_a_carrier_a_number_alone_does_nothing_and_the_words_do_what_they_say(self):
        carrier = ModemCarrier(self.build)
        with carrier, CarrierSite(self.build, carrier) as site:
            guest, other = carrier.guest, carrier.other_guest

            def say(text, sender=guest):
                carrier.wait_taken(carrier.answer(sender, text))

            def blocks():
                return [row[0] - time.time() for row in site.rows("SELECT expires FROM block")]

            share = site.create("sms:" + guest, locale="de")
            carrier.wait_for_message(guest, share["tag"])
            before = site.wait_event(share, "delivered")
            for text in (share["code"], wrong_code(share["code"]), "NEIN", "nicht ich", "Hilfe", "0000 NEIN"):
                say(text)
            carrier.wait_for_message(guest, "", 1)
            say("Stopp")
            question = carrier.wait_for_message(guest, "%s STOP" % share["tag"], 2)
            assert site.show(share) == before
            assert len(blocks()) == 1 and blocks()[0] < 1.1 * DAY, "it is not confirmed yet"
            say("%s bitte nicht aufhören, STOPP!" % share["tag"])
            found = site.show(share)
            assert (found["state"], found["attempts_left"]) == ("invited", 3), "a word is the whole text"
            assert blocks()[0] < 1.1 * DAY
            say("%s Hilfe" % share["tag"])
            texts = carrier.messages(guest)
            assert "%s NEIN" % share["tag"] in carrier.wait_for_message(guest, "NICHT ICH", 3).text, texts
            say("%s stopp" % share["tag"])
            assert site.wait_state(share, "declined")["attempts_left"] == 3
            assert blocks()[0] > 29 * DAY, question

            # NO ends the share and blocks nobody; NOT ME keeps one tenant from writing again, and nobody else.
            refused = site.create("sms:" + other, locale="en")
            carrier.wait_for_message(other, refused["tag"])
            say("%s no" % refused["tag"], other)
            site.wait_state(refused, "declined")
            assert len(blocks()) == 1
            disowned = site.create("sms:" + other, locale="en")
            carrier.wait_for_message(other, disowned["tag"])
            say("%s not me" % disowned["tag"], other)
            site.wait_state(disowned, "disowned")
            assert len(blocks()) == 2


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
