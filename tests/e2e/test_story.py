"""The whole story, on every channel that there is: invitation, slip, wrong code, right code, link,
key, completed."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.ejabberd import Ejabberd  # noqa: E402
from harness.prosody import Prosody  # noqa: E402
from harness.vestibule import (  # noqa: E402
    TESTS, URL, Plugin, Site, events_of, hotel_policy, mistyped, options_of_test, plain, wait_until,
    wrong_code, xmpp_answer, xmpp_urls)
from harness.xmpp_recipient import Recipient  # noqa: E402

CONTENT = {"token": "what opens the door", "rounds": [1, 2, {"deep": None}], "text": "schön ✓"}
STORY = ["created", "invitation_accepted", "delivered", "mistyped", "wrong", "confirmed",
         "releasing", "released", "link_accepted", "delivered", "ended"]


def check_end(site, share, url):
    """Opens the link and follows the share to its end."""
    assert url.startswith(site.relay.url + "/v1/m/"), url
    received = site.receive(url)
    assert received.returncode == 0, received.stderr
    assert json.loads(received.stdout)["content"] == CONTENT
    ended = site.wait_state(share, "completed")
    assert ended["cause"] == "mailbox_gone"
    assert ended["attempts_left"] == 1
    assert events_of(ended) == STORY, events_of(ended)
    assert site.receive(url).returncode == 4  # gone
    operations = [line["op"] for line in site.relay.requests()]
    assert operations[0] == "CreateMailbox" and operations.count("CreateMailbox") == 1


class Tests:
    def __init__(self, options):
        self.build = options.build

    def story_over_echo(self, locale, words):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob", locale=locale, content=CONTENT)
            invitation = phone.wait_message("invitation")
            assert words[0] in invitation["text"], invitation
            assert not URL.search(invitation["text"])
            assert plain(share["code"]) not in plain(json.dumps(invitation))
            site.wait_event(share, "delivered")
            for number, (answer, word) in enumerate((
                (mistyped(share["code"]), words[1]), (wrong_code(share["code"]), words[2]),
            ), 1):
                phone.say(answer, thread=invitation["thread"])
                notice = phone.wait_message("notice", contains=word)
                assert share["tag"] in notice["text"]
                assert site.show(share)["attempts_left"] == 4 - number if number == 1 else 2
            assert site.relay.lines() == []
            phone.say(share["code"], thread=invitation["thread"])
            link = phone.wait_message("link", contains=words[3])
            assert link["link"] in link["text"]
            assert phone.urls() == {link["link"]}
            site.wait(share, lambda found: events_of(found)[-1] == "delivered", "link delivered")
            check_end(site, share, link["link"])

    @tap.test
    def over_echo_in_english(self):
        self.story_over_echo("en", ("a room key", "mistyped", "not right", "Open this link"))

    @tap.test
    def over_echo_in_german(self):
        self.story_over_echo(
            "de", ("einen Zimmerschlüssel", "Tippfehler", "stimmt nicht", "Öffnen Sie diesen Link"))

    def story_over_xmpp(self, server, mode):
        server.register("bob", "the guest's")
        if mode == "client":
            server.register("keys", "the gateway's")
        with Site(self.build, channels=("xmpp",), xmpp=server, mode=mode,
                  password="the gateway's") as site:
            bob = Recipient("bob@" + server.domain, "the guest's", "127.0.0.1", server.client_port,
                            server.certificate).start()
            try:
                self.tell_over_xmpp(site, server, bob)
            finally:
                bob.close()

    def tell_over_xmpp(self, site, server, bob):
        share = site.create("xmpp:bob@" + server.domain, content=CONTENT)
        invitation = bob.wait_message(matches=lambda m: m.body and "room key" in m.body)
        assert xmpp_urls(bob) == set()
        assert plain(share["code"]) not in plain(invitation.body)
        site.wait_event(share, "delivered")
        xmpp_answer(bob, invitation, mistyped(share["code"]))
        bob.wait_message(matches=lambda m: m.body and "mistyped" in m.body)
        xmpp_answer(bob, invitation, wrong_code(share["code"]))
        bob.wait_message(matches=lambda m: m.body and "2 tries" in m.body)
        assert site.relay.lines() == []
        xmpp_answer(bob, invitation, share["code"])
        link = bob.wait_message(matches=lambda m: m.link)
        assert link.link in link.body  # XEP-0066 beside the words, never instead
        assert xmpp_urls(bob) == {link.link}
        site.wait(share, lambda found: events_of(found)[-1] == "delivered", "link delivered")
        check_end(site, share, link.link)

    @tap.test
    def over_a_component_of_prosody(self):
        with Prosody() as server:
            self.story_over_xmpp(server, "component")

    @tap.test
    def over_an_account_at_prosody(self):
        with Prosody() as server:
            self.story_over_xmpp(server, "client")

    @tap.test
    def over_a_component_of_ejabberd(self):
        if os.geteuid() != 0:
            raise tap.Skip("ejabberdctl changes to the user ejabberd, which needs root")
        with Ejabberd() as server:
            self.story_over_xmpp(server, "component")

    @tap.test
    def a_button_of_xep_0439_declines(self):
        with Prosody() as server:
            server.register("bob", "the guest's")
            with Site(self.build, channels=("xmpp",), xmpp=server) as site:
                bob = Recipient("bob@" + server.domain, "the guest's", "127.0.0.1",
                                server.client_port, server.certificate).start()
                try:
                    share = site.create("xmpp:bob@" + server.domain)
                    invitation = bob.wait_message(matches=lambda m: m.body)
                    values = [value for value, _ in invitation.buttons]
                    assert "NO" in values and "NOT ME" in values, values
                    xmpp_answer(bob, invitation, "NO")
                    bob.wait_message(matches=lambda m: m.body and "do not want it" in m.body)
                    ended = site.wait_state(share, "declined")
                    assert ended["attempts_left"] == 3
                    assert site.relay.lines() == []
                finally:
                    bob.close()

    @tap.test
    def a_channel_written_in_python_from_the_protocol_page_alone_works(self):
        program = os.path.join(TESTS, "plugins", "echo-in-python.py")
        with Site(self.build, channels=("paper",),
                  programs={"paper": ["/usr/bin/python3", program, "--replies"]}) as site:
            share = site.create("echo:bob")
            found = site.wait_event(share, "invitation_accepted")
            assert found["delivery"][0]["channel"] == "paper"
            # It answered YES, which is no code: it was told so, and nothing was spent.
            counters = site.wait_health(lambda health: health["counters"]["commands"] >= 4)
            assert counters["counters"]["replies_unbound"] == 0
            assert site.show(share)["attempts_left"] == 3
            first = site.kill_child("paper")
            wait_until(lambda: site.children().get("paper") not in (None, first), 15, "its successor")
            site.wait_plugins()
            again = site.create("echo:carol")
            site.wait_event(again, "invitation_accepted")
            assert site.cancel(again).status == 200

    @tap.test
    def a_stranger_on_a_named_socket_can_be_the_whole_channel(self):
        with Site(self.build, channels=("echo", "paper"), sockets=("paper",),
                  policies=hotel_policy("paper"), wait=False) as site:
            plugin = Plugin(site.path("paper"), "paper")
            assert plugin.welcome["type"] == "welcome", plugin.welcome
            plugin.write({"type": "status", "up": True, "reason": ""})
            site.wait_plugins()
            share = site.create("echo:bob", content=CONTENT)
            invitation = plugin.read_until("send")
            assert invitation["kind"] == "invitation" and invitation["to"] == "echo:bob"
            plugin.write({"type": "sent", "id": invitation["id"]})
            plugin.write({"type": "delivered", "message": invitation["message"]})
            for answer, word in ((mistyped(share["code"]), "mistyped"),
                                 (wrong_code(share["code"]), "2 tries")):
                number = plugin.reply("echo:bob", answer, thread=invitation["thread"])
                seen = [plugin.read(), plugin.read()]
                assert {"type": "ack", "id": number} in seen, seen
                notice = [frame for frame in seen if frame["type"] == "send"][0]
                assert notice["kind"] == "notice" and word in notice["text"]
                plugin.write({"type": "sent", "id": notice["id"]})
            self.answer_when_it_is_time(plugin, share, invitation)
            link = plugin.read_until("send")
            assert link["kind"] == "link" and link["link"] in link["text"]
            plugin.write({"type": "sent", "id": link["id"]})
            plugin.write({"type": "delivered", "message": link["message"]})
            site.wait(share, lambda found: events_of(found)[-1] == "delivered", "link delivered")
            check_end(site, share, link["link"])
            plugin.close()

    def answer_when_it_is_time(self, plugin, share, invitation):
        while True:
            number = plugin.reply("echo:bob", share["code"], inbound="the right one",
                                  thread=invitation["thread"])
            answer = plugin.read()
            assert answer["id"] == number
            if answer["type"] == "ack":
                return
            assert answer["type"] == "again"
            time.sleep(answer["retry_after"])  # as the gateway asked


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
