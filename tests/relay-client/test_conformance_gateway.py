"""The client's checklist for Draft V, as far as the gateway decides it, for the relay client keeps nothing:
which claim and which id a request has, and that both are durable before the relay hears of them. A whole
site, but for the relay, which is the second implementation; a test's name begins with the number that it
shows (CONFORMANCE.md)."""

import json
import os
import sys
import threading
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.second_relay import SecondRelaySite  # noqa: E402
from harness.vestibule import options_of_test, wait_until  # noqa: E402


OPTIONS = options_of_test(__doc__)


def a_confirmed_share(site, name):
    phone = site.phone("echo:" + name)
    share = site.create("echo:" + name)
    phone.wait_message("invitation")
    phone.say(share["code"])
    return phone, share


def link_for(phone):
    wait_until(phone.urls, 30, "the link")
    link, = phone.urls()
    return link


def names_of(request):
    return request[1]["mailbox-device-claim"], request[1]["mailbox-request-id"]


def is_uuid4(text):
    return str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4


def c05_c12_what_is_repeated_after_a_kill_is_the_same_request():
    arrived, held = threading.Event(), threading.Event()

    def hold(request):
        if request[0] == "POST" and request[2] and not arrived.is_set():
            arrived.set()
            assert held.wait(60)

    with SecondRelaySite(OPTIONS.build) as site:
        site.relay.before = hold
        phone, share = a_confirmed_share(site, "bob")
        assert arrived.wait(30), "the relay was not asked"
        # What would be lost with the process is lost now; the relay makes the mailbox all the same.
        site.kill_gateway()
        held.set()
        site.start_gateway()
        link = link_for(phone)
        first, *repeated = site.relay.creates()
        assert repeated and all(is_uuid4(name) for name in names_of(first))
        for request in repeated:
            assert names_of(request) == names_of(first) and request[2] == first[2], "another request for one mailbox"
        assert len(site.relay.mailboxes.mailboxes) == 1
        assert site.receive(link).returncode == 0
        site.wait_state(share, "completed")


def c05_a_refused_request_is_repeated_with_its_id():
    refused = []

    def refuse(request):
        if request[0] == "POST" and len(refused) < 2:
            refused.append(request)
            return 503, {"Retry-After": "1"}, b""
        return None

    with SecondRelaySite(OPTIONS.build) as site:
        site.relay.before = refuse
        phone, share = a_confirmed_share(site, "bob")
        link_for(phone)
        assert len(site.relay.creates()) == 3 and len({names_of(request) for request in site.relay.creates()}) == 1
        # Another operation has another id.
        assert site.cancel(share).status in (200, 202)
        site.wait_state(share, "cancelled")
        delete, = [request for request in site.relay.seen if request[0] == "DELETE"]
        claim, id = names_of(site.relay.creates()[0])
        assert names_of(delete)[0] == claim and names_of(delete)[1] != id and is_uuid4(names_of(delete)[1])


def c09_each_mailbox_has_claims_of_its_own():
    with SecondRelaySite(OPTIONS.build) as site:
        claims = []
        for name in ("bob", "eve"):
            phone, share = a_confirmed_share(site, name)
            site.relay.seen.clear()
            assert site.receive(link_for(phone)).returncode == 0
            site.wait_state(share, "completed")
        claims = {names_of(request)[0] for request in map(as_seen, site.relay.requests)}
        assert len(claims) == 4 and all(map(is_uuid4, claims)), claims


def as_seen(request):
    method, _, headers, body = request
    return method, {name.lower(): value for name, value in headers.items()}, body


def c09_c28_a_mailbox_whose_link_is_lost_is_left_and_another_made():
    lost = []

    def lose(request, answer):
        if request[0] != "POST" or not request[2] or (lost and lost[0] != names_of(request)):
            return None
        if not lost:
            lost.append(names_of(request))
            return 503, {"Retry-After": "1"}, b""
        return 201, {}, b""

    with SecondRelaySite(OPTIONS.build) as site:
        site.relay.after = lose
        phone, share = a_confirmed_share(site, "bob")
        link = link_for(phone)
        first, second, third = map(names_of, site.relay.creates())
        assert first == second and third[0] != first[0] and third[1] != first[1], "a claim was used for a second mailbox"
        assert site.receive(link).returncode == 0
        assert site.wait_state(share, "completed") and len(phone.urls()) == 1


def c31_a_mailbox_that_is_gone_long_before_its_end_was_collected():
    with SecondRelaySite(OPTIONS.build) as site:
        phone, share = a_confirmed_share(site, "bob")
        link_for(phone)
        with site.relay.lock:
            site.relay.mailboxes.mailboxes.clear()
        site.wait_state(share, "completed")


def c38_a_share_can_be_called_back_once_its_link_is_out():
    with SecondRelaySite(OPTIONS.build) as site:
        phone, share = a_confirmed_share(site, "bob")
        link = link_for(phone)
        assert site.receive(link, "--keep").returncode == 0
        assert site.cancel(share).status in (200, 202)
        site.wait_state(share, "cancelled")
        wait_until(lambda: not site.relay.mailboxes.mailboxes, 30, "the mailbox is gone")


def c41_the_relay_does_not_learn_who_the_parties_are():
    with SecondRelaySite(OPTIONS.build) as site:
        phone = site.phone("echo:bob-zq7")
        share = site.create("echo:bob-zq7", reference="reference-Zq7",
                            recipient={"addresses": ["echo:bob-zq7"], "name": "Name-Zq7", "locale": "en", "time_zone": "Europe/Berlin"})
        phone.wait_message("invitation")
        phone.say(share["code"])
        assert site.receive(link_for(phone)).returncode == 0
        site.wait_state(share, "completed")
        for method, target, headers, body in site.relay.requests:
            text = "\n".join([method, target, json.dumps(headers), body.decode()]).lower()
            for private in ("zq7", share["id"], share["code"], "booking", site.tenant.token):
                assert private.lower() not in text, (private, text)
        assert site.relay.creates(), "nothing was sent"


TESTS = [(name, function) for name, function in list(globals().items()) if name[:1] == "c" and name[1:3].isdigit()]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS, OPTIONS.names))
