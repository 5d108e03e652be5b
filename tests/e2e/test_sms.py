"""The whole story by SMS, in two languages at once, over each way to a carrier, with a real carrier or a
stand-in that speaks its protocol behind it; and what is sent again. The cases run side by side: each has a
site and a carrier of its own, and waits more than it works."""

import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.kannel import KannelCarrier  # noqa: E402
from harness.modem_carrier import ModemCarrier  # noqa: E402
from harness.rest_carrier import RestCarrier  # noqa: E402
from harness.sms_carrier import SmsSite  # noqa: E402
from harness.smsc import SmppCarrier  # noqa: E402
from harness.vestibule import (  # noqa: E402
    URL, events_of, mistyped, options_of_test, plain, wrong_code)

CONTENT = {"token": "what opens the door", "text": "schön ✓"}
HOTEL = "Gästehaus & Café Süd"

# What leaves has these at its end: characters of one UTF-16 unit, of two, and of two that belong together, so
# that wherever a message is full there is something that must not be cut.
SIGNS = "ä🔑🙂👋🏽🇩🇪x" * 14
OWN_TEXTS = {
    "en/wrong": "{tag} is not right, {tries}: " + SIGNS,
    "de/wrong": "{tag} stimmt nicht, {tries}: " + SIGNS,
}

# A word of each text, in the order of the story, and what a person writes who has not read it, once in several
# parts.
WORDS = {
    "en": ("a room key", "not understood", "mistyped", "not right", "Open this link",
           "Hello 🙂 is this for me, for the café?"),
    "de": ("einen Zimmerschlüssel", "nicht verstanden", "Tippfehler", "stimmt nicht", "Öffnen Sie diesen Link",
           "Schöne Grüße 🙂 ist das für mich, für heute Abend? Ich weiß von nichts, und die Tür ist offen."),
}


# Each of them is two UTF-16 units, and a code of them is one only if all arrive.
FAT_DIGITS = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")


class Story:
    """One recipient's, in one language."""

    def __init__(self, site, carrier, locale, guest, pause):
        self.site, self.carrier, self.locale, self.guest, self.pause = site, carrier, locale, guest, pause
        self.n_texts = 0
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.tell()
        except BaseException as error:
            self.error = error
            self.pause.abort()

    def end(self):
        self.thread.join()
        if self.error:
            raise self.error

    def say(self, text):
        """Writes with the reference in front, as every answer by SMS must, and it is taken."""
        self.carrier.wait_taken(self.carrier.answer(self.guest, "%s %s" % (self.share["tag"], text)))

    def next_text(self, number):
        """The next text, which has that one of the words."""
        text = self.carrier.wait_for_message(self.guest, WORDS[self.locale][number], self.n_texts)
        self.n_texts += 1
        assert len(self.carrier.messages(self.guest)) == self.n_texts, self.carrier.messages(self.guest)
        return text

    def tell(self):
        site, share = self.site, None
        share = self.share = site.create("sms:" + self.guest, locale=self.locale, content=CONTENT,
                                         sender={"name": HOTEL})
        invitation = self.next_text(0)
        assert share["tag"] in invitation.text and HOTEL in invitation.text, invitation
        assert not URL.search(invitation.text) and plain(share["code"]) not in plain(invitation.text)
        assert invitation.alphabet == "gsm7", invitation
        site.wait_event(share, "delivered")
        self.say(WORDS[self.locale][5])
        self.next_text(1)
        self.say(mistyped(share["code"]) + " 🙂")
        assert share["tag"] in self.next_text(2).text
        assert site.show(share)["attempts_left"] == 3
        self.say(wrong_code(share["code"]))
        notice = self.next_text(3)
        assert share["tag"] in notice.text and notice.text.partition(": ")[2] == SIGNS, notice
        assert notice.alphabet == "ucs2" and notice.segments >= 4, notice
        assert site.show(share)["attempts_left"] == 2
        self.pause.wait(60)  # until nobody has confirmed, and all might
        assert site.relay.lines() == []
        self.pause.wait(60)
        self.say("🙂 %s 🙂" % share["code"].translate(FAT_DIGITS))
        link = self.next_text(4)
        site.wait(share, lambda found: events_of(found)[-1] == "delivered", "link delivered")
        self.check_end(link.text)

    def check_end(self, text):
        site = self.site
        (url,) = URL.findall(text)
        assert url.startswith(site.relay.url + "/v1/m/"), url
        received = site.receive(url)
        assert received.returncode == 0, received.stderr
        assert json.loads(received.stdout)["content"] == CONTENT
        ended = site.wait_state(self.share, "completed")
        assert ended["cause"] == "mailbox_gone" and ended["attempts_left"] == 1
        assert site.receive(url).returncode == 4  # gone


class Tests:
    def __init__(self, options):
        self.build = options.build

    def stories(self, carrier):
        with carrier, SmsSite(self.build, carrier, names=[HOTEL], texts=OWN_TEXTS) as site:
            pause = threading.Barrier(2)
            stories = [Story(site, carrier, "en", carrier.guest, pause),
                       Story(site, carrier, "de", carrier.other_guest, pause)]
            for story in stories:
                story.thread.join()
            for story in sorted(stories, key=lambda story: isinstance(story.error, threading.BrokenBarrierError)):
                story.end()

    @tap.test
    def over_smpp_in_english_and_german(self):
        self.stories(SmppCarrier(self.build, id_form="hex"))

    @tap.test
    def over_kannel_in_english_and_german(self):
        self.stories(KannelCarrier(self.build))

    @tap.test
    def over_a_rest_service_in_english_and_german(self):
        self.stories(RestCarrier(self.build))

    @tap.test
    def over_a_modem_in_english_and_german(self):
        self.stories(ModemCarrier(self.build))

    @tap.test
    def what_a_tenant_sends_again_reaches_the_telephone_again(self):
        with SmppCarrier(self.build) as carrier, SmsSite(self.build, carrier) as site:
            share = site.create("sms:" + carrier.guest, content=CONTENT)
            first = carrier.wait_for_message(carrier.guest, WORDS["en"][0])
            site.wait_event(share, "delivered")
            assert site.tenant.post("/v1/shares/%s/resend" % share["id"]).status == 202
            assert carrier.wait_for_message(carrier.guest, WORDS["en"][0], 1).text == first.text


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.side_by_side(tap.tests_of(Tests(arguments)), arguments.names), arguments.names))
