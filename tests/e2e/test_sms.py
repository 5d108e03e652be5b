"""The whole story by SMS, over each way to a carrier, with a real carrier or a stand-in that speaks its
protocol behind it; what is sent again; and what a killed carrier or channel costs: nothing."""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.kannel import KannelCarrier  # noqa: E402
from harness.modem_carrier import ModemCarrier  # noqa: E402
from harness.rest_carrier import RestCarrier  # noqa: E402
from harness.sms_carrier import SmsSite  # noqa: E402
from harness.smsc import SmppCarrier  # noqa: E402
from harness.vestibule import (  # noqa: E402
    URL, events_of, mistyped, options_of_test, plain, wait_until, wrong_code)

CONTENT = {"token": "what opens the door", "text": "schön ✓"}

# A word of each text, in the order of the story, and what a person writes who has not read it.
WORDS = {
    "en": ("a room key", "not understood", "mistyped", "not right", "Open this link",
           "Hello 🙂 is this for me, for the café?"),
    "de": ("einen Zimmerschlüssel", "nicht verstanden", "Tippfehler", "stimmt nicht", "Öffnen Sie diesen Link",
           "Schöne Grüße 🙂 ist das für mich, für heute Abend? Ich weiß von nichts, und die Tür ist offen."),
}


class Tests:
    def __init__(self, options):
        self.build = options.build

    def say(self, carrier, share, text):
        """Bob writes with the reference in front, as every answer by SMS must, and it is taken."""
        carrier.wait_taken(carrier.answer(carrier.guest, "%s %s" % (share["tag"], text)))

    def next_text(self, carrier, word, after):
        return carrier.wait_for_message(carrier.guest, contains=word, after=after)

    def check_end(self, site, share, text):
        (url,) = URL.findall(text)
        assert url.startswith(site.relay.url + "/v1/m/"), url
        received = site.receive(url)
        assert received.returncode == 0, received.stderr
        assert json.loads(received.stdout)["content"] == CONTENT
        ended = site.wait_state(share, "completed")
        assert ended["cause"] == "mailbox_gone" and ended["attempts_left"] == 1
        assert site.receive(url).returncode == 4  # gone

    def story(self, carrier, locale):
        words = WORDS[locale]
        with carrier, SmsSite(self.build, carrier) as site:
            share = site.create("sms:" + carrier.guest, locale=locale, content=CONTENT)
            invitation = self.next_text(carrier, words[0], 0)
            assert share["tag"] in invitation.text and not URL.search(invitation.text), invitation
            assert plain(share["code"]) not in plain(invitation.text)
            site.wait_event(share, "delivered")
            self.say(carrier, share, words[5])
            self.next_text(carrier, words[1], 1)
            for number, (answer, word) in enumerate(
                    ((mistyped(share["code"]), words[2]), (wrong_code(share["code"]), words[3])), 2):
                self.say(carrier, share, answer)
                notice = self.next_text(carrier, word, number)
                assert share["tag"] in notice.text
                assert site.show(share)["attempts_left"] == 5 - number, site.show(share)
            assert site.relay.lines() == []
            self.say(carrier, share, share["code"])
            link = self.next_text(carrier, words[4], 4)
            assert len(carrier.messages(carrier.guest)) == 5
            site.wait(share, lambda found: events_of(found)[-1] == "delivered", "link delivered")
            self.check_end(site, share, link.text)

    @tap.test
    def over_smpp_in_english(self):
        self.story(SmppCarrier(self.build), "en")

    @tap.test
    def over_smpp_in_german(self):
        self.story(SmppCarrier(self.build, id_form="hex"), "de")

    @tap.test
    def over_kannel_in_english(self):
        self.story(KannelCarrier(self.build), "en")

    @tap.test
    def over_kannel_in_german(self):
        self.story(KannelCarrier(self.build), "de")

    @tap.test
    def over_a_rest_service_in_english(self):
        self.story(RestCarrier(self.build), "en")

    @tap.test
    def over_a_rest_service_in_german(self):
        self.story(RestCarrier(self.build), "de")

    @tap.test
    def over_a_modem_in_english(self):
        self.story(ModemCarrier(self.build), "en")

    @tap.test
    def over_a_modem_in_german(self):
        self.story(ModemCarrier(self.build), "de")

    @tap.test
    def what_a_tenant_sends_again_reaches_the_telephone_again(self):
        with SmppCarrier(self.build) as carrier, SmsSite(self.build, carrier) as site:
            share = site.create("sms:" + carrier.guest, content=CONTENT)
            first = self.next_text(carrier, WORDS["en"][0], 0)
            site.wait_event(share, "delivered")
            assert site.tenant.post("/v1/shares/%s/resend" % share["id"]).status == 202
            assert self.next_text(carrier, WORDS["en"][0], 1).text == first.text

    def dies_on_the_way(self, carrier, kill):
        """kill(site) at each step: behind the invitation, with an answer on its way, and at the link."""
        with carrier, SmsSite(self.build, carrier) as site:
            share = site.create("sms:" + carrier.guest, content=CONTENT)
            self.next_text(carrier, WORDS["en"][0], 0)
            kill(site)
            handle = carrier.answer(carrier.guest, "%s %s" % (share["tag"], wrong_code(share["code"])))
            kill(site)
            carrier.wait_taken(handle)
            self.next_text(carrier, WORDS["en"][3], 1)
            right = carrier.answer(carrier.guest, "%s %s" % (share["tag"], share["code"]))
            kill(site)
            carrier.wait_taken(right)
            link = self.next_text(carrier, WORDS["en"][4], 2)
            shown = site.show(share)
            # One answer was wrong and one was right, however often they were handed in.
            assert shown["attempts_left"] == 1, shown
            assert len({url for text in carrier.messages(carrier.guest) for url in URL.findall(text.text)}) == 1
            self.check_end(site, share, link.text)

    def kill_centre(self, carrier):
        def kill(site):
            carrier.kill()
            carrier.start()
            site.wait_channel("sms")

        return kill

    def kill_channel(self, site):
        pid = site.children()["sms"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: site.children().get("sms") not in (None, pid), 30, "its successor")
        site.wait_channel("sms")

    def kill_gateway(self, site):
        site.kill_gateway()
        site.start_gateway()

    @tap.test
    def a_killed_sms_centre_loses_nothing(self):
        carrier = SmppCarrier(self.build)
        self.dies_on_the_way(carrier, self.kill_centre(carrier))

    @tap.test
    def a_killed_channel_loses_nothing(self):
        self.dies_on_the_way(SmppCarrier(self.build), self.kill_channel)

    @tap.test
    def a_killed_gateway_loses_nothing(self):
        self.dies_on_the_way(SmppCarrier(self.build), self.kill_gateway)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
