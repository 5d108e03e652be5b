"""How often a relay is asked about one share, as the relay sees it: no look of ours comes within two
seconds of any other request of ours about that share (policy/transfer.h). The relay is the second
implementation, which keeps when each request came; all else is real."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.second_relay import SecondRelaySite  # noqa: E402
from harness.vestibule import events_of, hotel_policy, options_of_test, wait_until  # noqa: E402

PATIENCE = 60
LEAST = 2.0  # seconds
ROUNDS = 3
BUSY = 503, {"Retry-After": "1"}, b""
# The wallet's side, which answers each message but the last.
HANDLER = """sh -c 'cat >/dev/null
test $VESTIBULE_MESSAGE -ge %d || echo "{\\"format\\":\\"x.y\\",\\"content\\":{}}"'"""
OPERATIONS = {"PUT": "write", "DELETE": "delete", "PATCH": "relinquish"}


def operation_of(request):
    method, _, body = request
    return OPERATIONS.get(method) or ("create" if body else "look")


class PaceSite(SecondRelaySite):
    def __init__(self, build):
        several = hotel_policy("echo", name="several").replace(
            "code = D9", "code = D9\n  access_rights = RWD")
        super().__init__(build, policies=hotel_policy("echo") + several)

    def ours(self):
        """(moment, operation) of each request of the share's initiator, in order; there is one share."""
        with self.relay.lock:
            seen = list(zip(self.relay.moments, self.relay.seen))
        claim = next(request[1]["mailbox-device-claim"] for _, request in seen
                     if operation_of(request) == "create")
        return [(moment, operation_of(request)) for moment, request in seen
                if request[1].get("mailbox-device-claim") == claim]

    def count(self, operation):
        return [kind for _, kind in self.ours()].count(operation)

    def refuse(self, *wanted):
        """The relay is busy at these requests of the initiator: (operation, how many went before)."""
        left, counts = list(wanted), {}

        def before(request):
            claim = request[1].get("mailbox-device-claim")
            kind = operation_of(request)
            if kind == "create":
                self.claim = claim
            if claim != self.claim:
                return None
            counts[kind] = counts.get(kind, 0) + 1
            if (kind, counts[kind] - 1) in left:
                left.remove((kind, counts[kind] - 1))
                return BUSY
            return None

        self.relay.before = before
        return left

    def link(self, phone, **members):
        share = self.create(phone.addresses[0], **members)
        phone.say(share["code"])
        return share, phone.wait_message("link", timeout=PATIENCE)["link"]

    def check_pace(self):
        """A look that a write of ours follows is the write's own: both are what the tenant caused, unless
        that write was tried before."""
        found = self.ours()
        looks = 0
        for number in range(1, len(found)):
            (before, _), (moment, kind) = found[number - 1:number + 1]
            following = found[number + 1][1] if number + 1 < len(found) else None
            if kind == "look" and following != "write":
                looks += 1
                assert moment - before >= LEAST, (number, moment - before, found)
        return looks


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def a_transfer_is_looked_at_at_most_once_in_two_seconds_however_it_goes(self):
        with PaceSite(self.build) as site:
            left = site.refuse(("look", 0), ("write", 0))
            share, link = site.link(site.phone("echo:bob"), policy="several")
            wallet = subprocess.Popen(
                [site.program("relay-client", "vestibule-receive"), "accept", "--allow", site.relay.host,
                 "--ca-file", site.relay.certificate, "--handler", HANDLER % (2 * ROUNDS), "-"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            wallet.stdin.write(link + "\n")
            wallet.stdin.close()
            wallet.stdin = None
            for turn in range(ROUNDS):
                site.wait(share, lambda found: events_of(found).count("message_received") > turn and
                          found.get("turn") == "initiator", "an answer", timeout=PATIENCE)
                answer = site.tenant.post("/v1/shares/%s/messages" % share["id"], {
                    "provisioning": {"format": "x.y", "content": {"turn": turn}}})
                assert answer.status == 202, answer
            _, errors = wallet.communicate(timeout=PATIENCE)
            assert wallet.returncode == 0, errors
            site.wait_state(share, "completed", timeout=PATIENCE)
            assert left == [], left
            assert site.count("write") == ROUNDS + 1  # the one that was refused is tried again
            assert site.check_pace() >= ROUNDS
            # That try was caused by nobody: it waits as long.
            found = site.ours()
            refused = [kind for _, kind in found].index("write")
            assert found[refused + 1][0] - found[refused][0] >= LEAST, found

    @tap.test
    def one_message_is_looked_at_no_more_often_whatever_the_relay_asks_and_across_a_restart(self):
        with PaceSite(self.build) as site:
            left = site.refuse(*(("look", number) for number in range(2)))
            share, _ = site.link(site.phone("echo:bob"))
            wait_until(lambda: site.count("look") == 2, PATIENCE, "two looks")
            site.kill_gateway()
            site.start_gateway()
            wait_until(lambda: site.count("look") == 3, PATIENCE, "a look after the restart")
            assert left == [], left
            assert site.check_pace() == 3
            assert site.show(share)["state"] == "released"


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
