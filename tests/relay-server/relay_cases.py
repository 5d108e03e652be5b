"""What the relay's test files share: the programs under test, requests in the words of the drafts, and the
running of a file's tests. Usage of each file: PROGRAM FAULTS-PROGRAM VECTORS [in-memory] [TEST...]"""

import datetime
import json
import os
import sys
import tempfile
import traceback

import relay_harness
from relay_harness import Relay, fresh, head, mailbox_of

PROGRAM, FAULTS, VECTORS = sys.argv[1:4]
IN_MEMORY = sys.argv[4:5] == ["in-memory"]
if IN_MEMORY:
    relay_harness.DEFAULT_OPTIONS = ["--in-memory"]
with open(VECTORS) as f:
    VECTOR = json.load(f)
PAYLOADS = {v["name"]: {"type": v["type"], "data": v["data_b64"]}
            for v in VECTOR["payload_positive"] if "data_b64" in v}
MESSAGE = [PAYLOADS[f"v-aes128-car-msg{n}"] for n in (1, 2, 3)]
tests = []


def test(function):
    tests.append(function)
    return function


def durable(function):
    """What it promises is about the disk: it is no test of a relay in memory."""
    function.needs_disk = True
    return function


def in_future(seconds):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def create_body(rights="RWD", ttl=3600, payload=None, title="Hotel Pass", **more):
    body = {
        "displayInformation": {"title": title, "description": "Some Hotel Pass",
                               "imageURL": "https://example.com/sharingImage"},
        "payload": payload or MESSAGE[0],
        "mailboxConfiguration": {"accessRights": rights, "expiration": in_future(ttl)},
    }
    body.update(more)
    return json.dumps(body)


def create(relay, claim=None, request_id=None, body=None, connection=None, expect=200):
    claim = claim or fresh()
    answer = relay.request("POST", "/v1/m", head(claim, request_id, Content_Type="application/json"),
                           body or create_body(), connection)
    assert answer.status == expect, (answer.status, answer.body)
    return claim, (mailbox_of(answer) if expect == 200 else None)


def call(relay, method, mailbox, claim, body=None, request_id=None):
    return relay.request(method, f"/v1/m/{mailbox}", head(claim, request_id), body)


def read_payload(relay, mailbox, claim):
    answer = call(relay, "POST", mailbox, claim)
    assert answer.status == 200, answer.status
    return json.loads(answer.body)["payload"]


class Clock:
    """The relay's clock, moved by hand; the relay must be the one with faults."""

    def __init__(self):
        handle, self.path = tempfile.mkstemp(prefix="vestibule-relay-clock-")
        os.close(handle)

    def option(self):
        return ["--fault", f"clock-file={self.path}"]

    def advance(self, seconds):
        with open(self.path, "w") as file:
            file.write(str(seconds))

    def __enter__(self):
        self.advance(0)
        return self

    def __exit__(self, *_):
        os.unlink(self.path)


def main():
    wanted = sys.argv[5 if IN_MEMORY else 4:]
    chosen = [t for t in tests if (not wanted or t.__name__ in wanted)
              and not (IN_MEMORY and getattr(t, "needs_disk", False))]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for n, function in enumerate(chosen, 1):
        try:
            function()
            print(f"ok {n} - {function.__name__}", flush=True)
        except Exception:  # the report goes on
            failed += 1
            print(f"not ok {n} - {function.__name__}", flush=True)
            for line in traceback.format_exc().splitlines():
                print("# " + line, flush=True)
    return 1 if failed else 0
