#!/usr/bin/python3
"""vestibulectl against a real front and a gateway that this script plays.

usage: api-ctl.py VESTIBULE_API VESTIBULECTL [--show | NAME...]     prints TAP, or what people see
"""
import base64
import calendar
import http.server
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
specification = importlib.util.spec_from_file_location(
    "api_http", os.path.join(os.path.dirname(os.path.abspath(__file__)), "api-http.py"))
api = importlib.util.module_from_spec(specification)
specification.loader.exec_module(api)

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../gateway/templates")
SHARE, LETTER, BLOCK = api.SHARE, "msg_" + api.SHARE[4:], "blk_" + api.SHARE[4:]
COUNTER = "cnt_" + api.SHARE[4:]


def share(**members):
    return {
        "id": SHARE, "state": "invited", "version": 3, "policy": "hotel", "tag": "7KQ4",
        "created_at": "2026-11-22T12:00:00Z", "expires_at": "2026-11-23T12:00:00Z", "reference": "booking-4711",
        "attempts_left": 2, "assurance": "RAL-1", "recipient": {"addresses": ["xmpp:bob@example.org"]},
        "delivery": [{"channel": "xmpp", "fact": "delivered", "at": "2026-11-22T12:00:05Z"}],
        "timeline": [{"at": "2026-11-22T12:00:00Z", "event": "created"},
                     {"at": "2026-11-22T12:00:04Z", "event": "invited", "detail": "by xmpp"},
                     {"at": "2026-11-22T12:03:10Z", "event": "wrong code", "detail": "2 tries left"}],
        "link_left": False, **members}


class Place:
    """A front, its gateway, and a folder with a token and a content file."""

    def __init__(self, **options):
        self.gateway = api.Gateway(PROGRAM, sockets=("127.0.0.1:0", "unix:"), **options)
        self.folder = tempfile.TemporaryDirectory(prefix="api-ctl-")
        self.token = os.path.join(self.folder.name, "token")
        self.write("token", api.TOKEN + "\n")
        self.content = self.write("content", '{"token": "marker-9f3a"}')
        self.asked = []
        self.gateway.handler = self.answer
        self.refuse = []
        self.more = {}  # members of the share that is shown
        self.watched = 0
        self.tagged = False  # whether ids of events are more than their numbers
        self.lost = False  # events before the third are not kept any more

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.gateway.__exit__(*error)
        self.folder.cleanup()

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.folder.name, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as f:
            f.write(text)
        return path

    def answer(self, frame):
        kind, g = frame["type"], self.gateway
        self.asked.append(frame)
        if self.refuse and kind != "tenant.describe":
            refusal = self.refuse.pop(0)
            if refusal:
                return g.answer(frame, refusal["status"], problem=refusal, retry_after=refusal.get("retry_after", 0))
        if kind == "tenant.describe":
            g.describe(frame)
        elif kind == "message.add":
            g.answer(frame, 202, body={"number": 2, "from": "initiator", "state": "queued", "at": "2026-11-22T12:05:00Z"})
        elif kind == "message.list":
            first = frame.get("after", -1) + 1
            page = [api.message(n, **({"encrypted": {"type": "AEAD_AES_128_GCM", "data": "AAAA"}} if n == 3 else {}))
                    for n in (first, first + 1)]
            g.answer(frame, 200, body={"messages": page, **({"cursor": "more"} if first < 2 else {})})
        elif kind == "share.create":
            g.answer(frame, 201, body=share(state="pending", version=1, code="123-456-786", delivery=[], timeline=[]))
        elif kind == "share.get" and "wait" in frame:
            g.answer(frame, 200, body=share(
                state="completed", version=5, link_left=True, timeline=share()["timeline"] + [
                    {"at": "2026-11-22T12:04:00Z", "event": "confirmed"},
                    {"at": "2026-11-22T12:04:09Z", "event": "completed", "detail": "mailbox_gone"}]))
        elif kind == "share.list":
            page = [share(id=SHARE[:-1] + c, state=s, reference=r) for c, s, r in (
                ("a", "invited", "booking-4711"), ("b", "completed", "Zürich \x1b[31mred\u202e"), ("c", "failed", ""))]
            g.answer(frame, 200, body={"shares": page} if "cursor" in frame else {"shares": page, "cursor": "next"})
        elif kind in ("share.get", "share.resend", "share.expiry"):
            g.answer(frame, 200, body=share(**self.more))
        elif kind == "share.cancel":
            g.answer(frame, 202, body=share(state="withdrawing", link_left=True))
        elif kind == "channel.list":
            g.answer(frame, 200, body={"channels": [
                {"name": "xmpp", "scheme": "xmpp", "state": "up", "detail": "component keys.example.org"},
                {"name": "sms", "scheme": "sms", "state": "down", "detail": "bind refused"}]})
        elif kind == "policy.list" and "name" in frame:
            if frame["name"] == "castle":
                g.answer(frame, 404, problem={"type": "urn:vestibule:problem:not-found", "title": "No such policy",
                                              "status": 404, "detail": "GET /v1/policies lists those that there are."})
            else:
                g.answer(frame, 200, body={"policies": [
                    {"name": frame["name"], "class": "hotel", "text": "policy %s: \x1b[2J\n  stops  scanners\n" % frame["name"]}]})
        elif kind == "policy.list":
            g.answer(frame, 200, body={"policies": [
                {"name": "hotel", "class": "hotel", "vertical": "a", "lifetime": 86400, "mailbox_ttl": 7200,
                 "access_rights": "RD"},
                {"name": "valet", "class": "home-limited", "vertical": "h", "lifetime": 86400, "mailbox_ttl": 7200,
                 "access_rights": "RWD"}]})
        elif kind == "event.follow":
            after = int(str(frame.get("after", 2)).partition("-")[0])
            events = [{"sequence": n, "type": "share.message_received", "share": SHARE, "state": "released", "version": n,
                       "at": "2026-11-22T12:04:09Z", "detail": "message \x1b%d" % n} for n in (1, 2, 3) if n > after]
            if after == 0 and self.lost:
                events = [{"sequence": 2, "type": "reset"}] + events[2:]
            cursor = events[-1]["sequence"] if events else after
            if self.tagged:
                events = [{**event, "id": "%d-0a1b2c3d" % event["sequence"]} for event in events]
                cursor = "%d-0a1b2c3d" % cursor
            g.answer(frame, 200, body={"tenant": "adler", "events": events, "cursor": cursor})
        elif kind == "letter.list":
            g.answer(frame, 200, body={"letters": [
                {"message": LETTER, "share": SHARE, "channel": "xmpp", "tries": 12,
                 "reason": "remote-server-not-found"}]})
        elif kind == "block.list":
            blocks = [{"id": BLOCK, "tenant": "adler", "address": "sms:+49***78", "reason": "stop",
                       "since": "2026-11-22T12:00:00Z", "until": "2026-12-22T12:00:00Z"},
                      {"id": BLOCK, "address": "xmpp:b***@example.org", "reason": "stop_all",
                       "since": "2026-11-22T12:00:00Z", "until": "2026-12-22T12:00:00Z"},
                      {"id": BLOCK, "until": "2026-12-22T12:00:00Z"}]
            g.answer(frame, 200, body={"blocks": blocks[1:] if "cursor" in frame else blocks[:1],
                                       **({} if "cursor" in frame else {"cursor": BLOCK})})
        elif kind in ("limit.list", "limit.show_address"):
            limits = [{"id": COUNTER, "kind": "pair", "tenant": "adler", "about": "sms:+49***78",
                       "counts": {"shares_10min": 3, "wrong_day": 0}, "full": ["shares_10min"],
                       "until": "2026-12-22T12:00:00Z"},
                      {"id": COUNTER, "kind": "all", "counts": {"wrong_day": 7}, "full": []}]
            g.answer(frame, 200, body={"limits": limits[1:] if "cursor" in frame else limits[:1],
                                       **({} if "cursor" in frame or "body" in frame else {"cursor": COUNTER})})
        elif kind in ("limit.clear", "limit.clear_address"):
            g.answer(frame, 200, body={"cleared": 1 if kind == "limit.clear" else 3})
        elif kind in ("block.lift", "block.lift_address"):
            g.answer(frame, 200, body={"lifted": 1 if kind == "block.lift" else 2})
        elif kind == "health":
            g.answer(frame, 200, body={"status": "degraded", "parts": [
                {"name": "store", "up": True, "detail": ""}, {"name": "sms", "up": False, "detail": "bind refused"}]})
        else:
            g.answer(frame, 200, body={})

    def run(self, *arguments, stdin=None, token=True, url=None, locale="C.UTF-8"):
        command = [CTL, "--url", url or f"http://127.0.0.1:{self.gateway.port}"]
        command += ["--token-file", self.token] if token else []
        return subprocess.run(command + list(arguments), capture_output=True, text=True, input=stdin, timeout=60,
                              errors="replace", env={"TZ": "UTC", "LC_ALL": locale, "HOME": self.folder.name,
                                                     "PATH": "/usr/bin:/bin"})

    def create(self, *more, **options):
        return self.run("share", "create", "--policy", "hotel", "--to", "xmpp:bob@example.org", "--title", "Room key",
                        "--format", "f", "--content-file", options.pop("content", self.content), *more, **options)

    def kinds(self):
        return [frame["type"] for frame in self.asked]


def expect(result, status, *texts):
    assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
    for text in texts:
        assert text in result.stdout + result.stderr, (text, result.stdout, result.stderr)
    return result


class FakeApi:
    """An API that says of its keys and policies what a test wants."""

    def __init__(self, keys):
        answers = {"/v1/keys": keys, "/v1/policies": {"policies": [{"name": "hotel", "class": "hotel"}]}}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = json.dumps(answers[self.path]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def start(**options):
    return Place(**options)


def create_shows_the_code_and_whom_to_tell_it():
    with start() as p:
        result = expect(p.create("--to", "sms:+4915112345678", "--expires-in", "2h", "--sender", "Hotel Adler"), 0,
                        "1 2 3 - 4 5 6 - 7 8 6", "by voice", SHARE)
        frame = p.asked[-1]
        assert frame["body"]["recipient"]["addresses"] == ["xmpp:bob@example.org", "sms:+4915112345678"]
        assert frame["body"]["sender"] == {"name": "Hotel Adler"} and "expires_at" in frame["body"]
        assert p.gateway.key.open(frame["sealed"]["box"])["provisioning"]["content"] == {"token": "marker-9f3a"}
        assert "marker-9f3a" not in result.stdout
        assert json.loads(p.create("--json").stdout)["code"] == "123-456-786"
        expect(p.create(content="-", stdin='{"from": "a pipe"}'), 0)
        assert p.gateway.key.open(p.asked[-1]["sealed"]["box"])["provisioning"]["content"] == {"from": "a pipe"}


def create_takes_provisioning_of_every_form_and_claims():
    with start() as p:
        claim = "0000000a-0000-4000-8000-00000000000b"

        def create(provisioning, *more):
            path = p.write("provisioning", json.dumps(provisioning))
            expect(p.run("share", "create", "--policy", "hotel", "--to", "xmpp:bob@example.org", "--title", "Room key",
                         "--provisioning-file", path, *more), 0)
            return p.asked[-1]

        frame = create({"mint": "https://keys.example/a"}, "--claim", claim)
        assert frame["mint"] == "https://keys.example/a" and frame["body"]["claims"] == [claim]
        assert create({"encrypted": {"type": "AEAD_AES_128_GCM", "data": "A" * 40}})["encrypted"] is True
        frame = create({"format": "f", "content": {"a": 1}})
        assert p.gateway.key.open(frame["sealed"]["box"])["provisioning"] == {"format": "f", "content": {"a": 1}}
        expect(p.create("--provisioning-file", p.content), 64, "--provisioning-file alone")
        expect(p.create(*["--claim", claim] * 4), 64, "at most 3 times --claim")


SEAL = ("seal", "--policy", "hotel", "--to", "xmpp:Bob@Example.org", "--to", "sms:+4915112345678")
CONTENT = {"format": "f", "content": {"token": "marker-9f3a"}}


def what_is_sealed_here_is_bound_to_its_share_and_unknown_to_the_api():
    with start() as p:
        result = expect(p.run(*SEAL, stdin=json.dumps(CONTENT)), 0)
        assert result.stderr == ""
        sealed = json.loads(result.stdout)["sealed"]
        assert set(sealed) == {"kid", "box"} and sealed["kid"] == p.gateway.key.kid
        envelope = p.gateway.key.open(sealed["box"])
        assert len(base64.b64decode(envelope.pop("nonce"))) == 16
        assert abs(envelope.pop("not_after") - time.time() - 67 * 3600) < 20
        addresses = ("xmpp:bob@example.org", "sms:+4915112345678")
        assert envelope == {"v": 1, "tenant": "adler", "class": "hotel", "provisioning": CONTENT,
                            "recipients": api.recipients_hash(*addresses)}
        path = p.write("sealed", result.stdout)
        expect(p.run("share", "create", "--policy", "hotel", *SEAL[3:], "--title", "Room key", "--provisioning-file", path), 0)
        assert p.asked[-1]["sealed"] == {**sealed, "class": "hotel", "recipients": api.recipients_hash(*addresses)}
        assert "marker-9f3a" not in json.dumps(p.asked)
        again = json.loads(p.run(*SEAL, p.write("content", json.dumps(CONTENT))).stdout)["sealed"]
        assert p.gateway.key.open(again["box"])["nonce"] != p.gateway.key.open(sealed["box"])["nonce"]


def a_further_message_is_sealed_to_its_share():
    with start() as p:
        result = expect(p.run("seal", "--share", SHARE, "--tenant", "adler", stdin=json.dumps(CONTENT)), 0)
        envelope = p.gateway.key.open(json.loads(result.stdout)["sealed"]["box"])
        assert envelope["class"] == "message" and envelope["recipients"] == api.recipients_hash(SHARE)
        assert envelope["tenant"] == "adler" and envelope["provisioning"] == CONTENT
        expect(p.run("message", "send", SHARE, stdin=result.stdout), 0, "Message 2 is queued.")
        assert p.asked[-1]["sealed"]["box"] == json.loads(result.stdout)["sealed"]["box"]
        assert "policy.list" not in p.kinds()


def nothing_is_sealed_that_would_be_refused_later():
    with start() as p:
        for arguments in (("seal",), ("seal", "--policy", "hotel"), ("seal", "--share", SHARE, "--policy", "hotel"),
                          ("seal", "--share", "x"), ("seal", "--policy", "hotel", "--to", "bob"), (*SEAL, "-", "-")):
            expect(p.run(*arguments, stdin=json.dumps(CONTENT)), 64)
        for content in ({}, {"format": "f"}, {"format": "f", "content": "text"}, {**CONTENT, "more": 1},
                        {"format": "", "content": {}}, {"format": "f" * 129, "content": {}}, [1],
                        {"format": "f", "content": {"a": "x" * 32768}}):
            result = expect(p.run(*SEAL, stdin=json.dumps(content)), 65)
            assert result.stdout == ""
        assert p.asked == [], "the API was asked before the content was looked at"
        expect(p.run(*SEAL[:2], "castle", *SEAL[3:], stdin=json.dumps(CONTENT)), 65, "no such policy")
        expect(p.run(*SEAL, "--tenant", "eve", stdin=json.dumps(CONTENT)), 65, "another tenant")
    with start(key=api.RelayKey(lifetime=-5)) as p:
        result = expect(p.run(*SEAL, stdin=json.dumps(CONTENT)), 69, "the time of every key has passed")
        assert result.stdout == ""


def keys_that_their_signer_did_not_sign_are_not_sealed_to():
    with start() as p:
        good = api.Client(p.gateway).ask("GET", "/v1/keys").json
        other = json.loads(api.RelayKey().file)

        def changed(**members):
            return {**good, "keys": [{**good["keys"][0], **members}]}

        def seal(keys, *more):
            with FakeApi(keys) as fake:
                return p.run(*SEAL, *more, url=fake.url, stdin=json.dumps(CONTENT))

        expect(seal(good), 0)
        expect(seal(good, "--signer", good["signer"]), 0)
        for keys in (changed(key=other["keys"][0]["key"]), changed(kid=other["keys"][0]["kid"]),
                     changed(not_after="2036-11-22T12:00:00Z"), changed(not_after=1), changed(signature="A" * 86 + "=="),
                     {**good, "signer": other["signer"]}, {"keys": []}, {}, []):
            result = expect(seal(keys), 65, "not signed as they should be")
            assert result.stdout == ""
        result = expect(seal(good, "--signer", other["signer"]), 65, "signed by another")
        assert result.stdout == ""
        expect(seal(good, "--signer", "x"), 64)
        without = {m: v for m, v in good.items() if m != "tenant"}
        expect(seal(without), 64, "give --tenant")
        expect(seal(without, "--tenant", "adler"), 0)


def messages_are_sent_and_listed():
    with start() as p:
        expect(p.run("message", "send", SHARE, p.write("message", json.dumps(CONTENT))), 0, "Message 2 is queued.")
        assert p.gateway.key.open(p.asked[-1]["sealed"]["box"])["provisioning"] == CONTENT
        answer = json.loads(p.run("message", "send", SHARE, "--json", stdin=json.dumps(CONTENT)).stdout)
        assert answer["number"] == 2
        p.asked.clear()
        result = expect(p.run("message", "list", SHARE), 0, "encrypted", "recipient", "--json shows what they say.")
        assert [line.split()[0] for line in result.stdout.splitlines()[1:5]] == ["0", "1", "2", "3"], result.stdout
        assert [f.get("after") for f in p.asked] == [None, 1]
        listed = json.loads(p.run("message", "list", SHARE, "--after", "1", "--json").stdout)
        assert [m["number"] for m in listed] == [2, 3]
        assert listed[1]["provisioning"] == {"encrypted": {"type": "AEAD_AES_128_GCM", "data": "AAAA"}}
        p.asked.clear()
        assert len(json.loads(p.run("message", "list", SHARE, "--limit", "2", "--json").stdout)) == 2
        assert [f.get("limit") for f in p.asked] == [2]
        expect(p.run("message", "send", LETTER, stdin="{}"), 64)
        expect(p.run("message", "send", SHARE, stdin="no json"), 65)


def a_transfer_shows_whose_turn_it_is():
    with start() as p:
        assert "Turn" not in expect(p.run("share", "show", SHARE), 0).stdout
        for turn, words in (("initiator", "the sender's: send the next message"), ("recipient", "the recipient's")):
            p.more = {"state": "released", "turn": turn}
            shown = expect(p.run("share", "show", SHARE), 0).stdout
            assert re.search(rf"^Turn +{words}$", shown, re.MULTILINE), shown


def policies_say_in_words_how_many_messages_they_carry():
    with start() as p:
        title, *rows = expect(p.run("policies"), 0).stdout.splitlines()
        assert title.endswith("MESSAGES"), title
        assert re.match(r"hotel .* one$", rows[0]) and re.match(r"valet .* several, in turn$", rows[1]), rows
        assert json.loads(p.run("policies", "--json").stdout)["policies"][1]["access_rights"] == "RWD"


def a_policy_is_shown_in_the_words_of_the_gateway():
    with start() as p:
        shown = expect(p.run("policy", "show", "valet"), 0).stdout
        assert shown == "policy valet: ?[2J\n  stops  scanners\n", shown
        assert p.asked[-1]["name"] == "valet"
        shown = expect(p.run("policy", "show"), 0).stdout
        assert [line.split()[1] for line in shown.splitlines()[::2]] == ["hotel:", "valet:"], shown
        expect(p.run("policy", "show", "castle"), 66, "No such policy")
        expect(p.run("policy", "show", "no such name"), 65, "`name` must be the name of a policy")
        expect(p.run("policy", "show", "a", "b"), 64)
        assert json.loads(p.run("policy", "show", "valet", "--json").stdout)["policies"][0]["name"] == "valet"


def create_repeats_itself_with_the_same_key():
    with start() as p:
        p.refuse = [{"type": "busy", "title": "Busy", "status": 503, "detail": "Wait.", "retry_after": 1}, None]
        expect(p.create(), 0, "vestibulectl: Busy (503); trying again in 1 s")
        creates = [f for f in p.asked if f["type"] == "share.create"]
        assert len(creates) == 2 and creates[0]["idempotency"] == creates[1]["idempotency"]


def refusals_become_exit_statuses_and_say_what_to_do():
    with start() as p:
        for status, exit_status in ((401, 77), (403, 77), (404, 66), (409, 65), (422, 65), (500, 70)):
            p.refuse = [{"type": "x", "title": "No way", "status": status, "detail": "Do this.\x1b[2J"}]
            result = expect(p.run("share", "show", SHARE), exit_status, "No way", "Do this.")
            assert "\x1b" not in result.stderr

def without_a_gateway_the_cause_is_said_at_once_and_then_what_to_do():
    with start() as p:
        advice = "; `vestibulectl doctor` says what is wrong\n"
        result = expect(p.run("channels", url="http://127.0.0.1:1"), 69, "no answer from http://127.0.0.1:1: ")
        assert result.stderr.endswith(advice) and result.stderr.count("\n") == 1, result.stderr
        result = expect(p.create(url="http://127.0.0.1:1"), 69, advice)
        first = result.stderr.splitlines()[0]
        assert re.fullmatch(r"vestibulectl: no answer from http://127.0.0.1:1 \(.*connect.*\); trying again in 1 s", first,
                            re.IGNORECASE), first
        assert advice not in p.run("doctor", url="http://127.0.0.1:1").stdout



def wrong_use_is_told_before_anything_is_sent():
    with start() as p:
        for arguments in (("share",), ("share", "show"), ("share", "show", "x"), ("nothing",), (), ("channels", "x"),
                          ("channels", "--policy", "x"), ("share", "create"), ("--colour", "red"),
                          ("letters", "drop", SHARE), ("token", "--tenant", "a b"), ("message", "list"), ("message", "send"),
                          ("message", "list", SHARE, "x"), ("share", "show", SHARE, "--signer", "x")):
            expect(p.run(*arguments), 64)
        expect(p.create("--expires-in", "2 weeks"), 64)
        for address in ("bob@example.org", "+4915112345678", "", ":bob", "bob@example.org:xmpp"):
            expect(p.create("--to", address), 64, "--to needs xmpp:, sms: or mailto: in front")
        expect(p.create(content=p.write("bad", "no json")), 65)
        expect(p.create(content="/nonexistent"), 66)
        assert p.asked == []


def the_help_has_a_line_for_each_option_and_comes_by_every_way_to_ask():
    with start() as p:
        page = expect(p.run("--help"), 0, "digitalwallet.generic.authorizationToken").stdout
        for words in (("help",), ("help", "share", "create"), ("share", "create", "--help"), ("doctor", "--help")):
            assert p.run(*words).stdout == page, words
        options = ("json", "url", "token-file", "tenant", "state", "limit", "reference", "policy", "to", "name", "locale",
                   "time-zone", "title", "description", "image-url", "format", "content-file", "expires-in", "sender",
                   "provisioning-file", "claim", "after", "share", "signer", "channel", "folder")
        for option in options:
            assert re.search(rf"^  --{option}( [A-Z]+)? +\S", page, re.MULTILINE), option
        assert max(map(len, page.splitlines())) < 90, page
        assert p.asked == []


def a_token_that_others_can_read_or_overhear_is_not_used():
    with start() as p:
        os.chmod(p.token, 0o644)
        expect(p.run("channels"), 77, "chmod 600")
        os.chmod(p.token, 0o600)
        for url in ("http://gateway.example:8480", "HTTP://gateway.example:8480", "gateway.example:8480",
                    "http://localhost.gateway.example:8480", "http://127.0.0.1.gateway.example:8480",
                    "http://127.0.0.1:8480@gateway.example", "http://localhost@gateway.example"):
            expect(p.run("channels", url=url), 64, "use https")
        assert p.asked == []


def the_token_is_found_at_its_usual_places():
    with start() as p:
        os.makedirs(os.path.join(p.folder.name, ".config/vestibule"))
        os.rename(p.token, os.path.join(p.folder.name, ".config/vestibule/token"))
        expect(p.run("channels", token=False), 0, "xmpp")
        assert p.asked[-1]["credential"]["token"] == api.TOKEN_ID


def the_list_follows_the_pages_and_disarms_foreign_text():
    with start() as p:
        result = expect(p.run("share", "list", "--state", "invited"), 0)
        assert len(result.stdout.splitlines()) == 7, result.stdout
        assert "\x1b" not in result.stdout and "\u202e" not in result.stdout and "Zürich ?[31mred?" in result.stdout
        assert [f.get("cursor") for f in p.asked] == [None, "next"]
        assert len(json.loads(p.run("share", "list", "--json").stdout)) == 6
        assert "Z?rich" in p.run("share", "list", locale="C").stdout


def watch_follows_a_share_to_its_end():
    with start() as p:
        result = expect(p.run("share", "watch", SHARE), 0, "wrong code", "mailbox_gone", "completed")
        assert result.stdout.count("wrong code") == 1
        assert p.asked[-1]["after"] == 3 and p.asked[-1]["wait"] > 0
        lines = p.run("share", "watch", SHARE, "--json").stdout.splitlines()
        assert [json.loads(line)["state"] for line in lines] == ["invited", "completed"]


def events_are_shown_as_far_as_there_are_any():
    with start() as p:
        result = expect(p.run("events"), 0)
        assert result.stdout == "".join(
            f"{n}  2026-11-22 12:04:09  {SHARE}  message_received  message ?{n}\n" for n in (1, 2, 3)), result.stdout
        assert result.stderr == ""
        objects = [json.loads(line) for line in p.run("events", "--after", "1", "--json").stdout.splitlines()]
        assert [event["sequence"] for event in objects] == [2, 3] and objects[0]["detail"] == "message \x1b2"
        assert expect(p.run("events", "--after", "3"), 0, "Nothing has happened").stdout == ""
        assert all("credit" not in f or f["credit"] > 0 for f in p.asked)
        p.lost = True
        expect(p.run("events"), 0, "2  from here on", "vestibulectl share list", "3  2026-11-22 12:04:09")
        expect(p.run("events", "--after", "x"), 65, "after")
        expect(p.run("events", "--after", "1" * 40), 64, "--after")
        expect(p.run("share", "list", "--follow"), 64, "does not take that option")
        many = {"status": 429, "type": "too-many-streams", "title": "Too many", "detail": "d", "retry_after": 1}
        p.refuse = [many]
        result = expect(p.run("events"), 75, "Too many (429)")
        assert "trying again" not in result.stderr, result.stderr
        p.refuse = [many] * 5
        expect(p.run("events", "--follow"), 75, "Too many (429)", "too many requests wait; trying again in 1 s")


def the_id_of_an_event_is_shown_and_is_where_it_goes_on():
    with start() as p:
        p.tagged = True
        p.refuse = [None, None, {"status": 503, "type": "busy", "title": "Busy"},
                    {"status": 401, "type": "unauthenticated", "title": "No valid credentials"}]
        result = expect(p.run("events", "--follow", "--after", "1-0a1b2c3d"), 77)
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["2-0a1b2c3d", "3-0a1b2c3d"], result.stdout
        assert [f["after"] for f in p.asked] == ["1-0a1b2c3d"] + 3 * ["3-0a1b2c3d"], p.asked


def who_follows_events_comes_back_where_the_stream_was_cut():
    with start() as p:
        # The first stream is cut after two answers; the second is refused for good.
        p.refuse = [None, None, {"status": 503, "type": "busy", "title": "Busy"},
                    {"status": 401, "type": "unauthenticated", "title": "No valid credentials"}]
        result = expect(p.run("events", "--follow", "--after", "1"), 77, "trying again in 3 s", "No valid credentials")
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["2", "3"], result.stdout
        assert [(f["after"], f.get("wait")) for f in p.asked] == [(1, None), (3, 0), (3, 15), (3, None)], p.asked


def operators_come_by_the_socket():
    with start() as p:
        url = "unix:" + p.gateway.unix
        expect(p.run("letters", "list", url=url, token=False), 0, "remote-server-not-found")
        assert p.asked[-1]["credential"]["uid"] == os.getuid()
        expect(p.run("letters", "replay", LETTER, url=url, token=False), 0, "due again")
        assert p.asked[-1]["message"] == LETTER
        expect(p.run("letters", "drop", LETTER, url=url, token=False), 0)
        expect(p.run("clock", "accept", url=url, token=False), 0)
        assert p.kinds() == ["letter.list", "letter.replay", "letter.drop", "clock.accept"]
        expect(p.run("letters", "list", url=url), 0)
        assert "token" in p.asked[-1]["credential"], "a token that was named was not sent"
        result = expect(p.run("letters", "list", url="unix:/run/vestibule/no.sock", token=False), 69,
                        "no answer from unix:/run/vestibule/no.sock; is vestibule-api@operators running",
                        "group vestibule-operator?")
        assert "localhost" not in result.stderr


def a_block_is_lifted_by_its_id_or_by_the_address_on_standard_input():
    with start() as p:
        url = "unix:" + p.gateway.unix
        result = expect(p.run("blocks", "list", url=url, token=False), 0, "sms:+49***78", "stop_all", "2026-12-22")
        rows = [line.split() for line in result.stdout.splitlines()]
        assert [row[1] for row in rows] == ["TENANT", "adler", "(all)", "?"], rows
        assert [f.get("cursor") for f in p.asked] == [None, BLOCK] and p.asked[0]["limit"] == 100
        expect(p.run("blocks", "list", "--limit", "1", url=url, token=False), 0)
        assert p.asked[-1]["limit"] == 1 and len(p.asked) == 3, "more than one page was asked for"

        expect(p.run("blocks", "lift", BLOCK, url=url, token=False), 0, "1 block is lifted")
        assert p.asked[-1]["type"] == "block.lift" and p.asked[-1]["block"] == BLOCK
        expect(p.run("blocks", "lift", stdin="mailto:b%6Fb@example.org\n", url=url, token=False), 0, "2 blocks are lifted")
        assert p.asked[-1]["body"] == {"address": "mailto:bob@example.org"}, p.asked[-1]
        expect(p.run("blocks", "lift", "--tenant", "adler", stdin="sms:+4915112345678", url=url, token=False), 0)
        assert p.asked[-1]["body"] == {"address": "sms:+4915112345678", "tenant": "adler"}, p.asked[-1]
        n = len(p.asked)
        for arguments, stdin in ((("sms:+4915112345678",), ""), ((LETTER,), ""), ((BLOCK, "--tenant", "adler"), ""),
                                 ((), ""), ((), "\n"), ((BLOCK, BLOCK), "")):
            expect(p.run("blocks", "lift", *arguments, stdin=stdin, url=url, token=False), 64)
        expect(p.run("blocks", "lift", stdin="bob\n", url=url, token=False), 65, "address")
        assert len(p.asked) == n


def limits_are_shown_and_cleared_by_id_or_by_the_address_on_standard_input():
    with start() as p:
        url = "unix:" + p.gateway.unix
        result = expect(p.run("limits", "show", url=url, token=False), 0, "sms:+49***78", "shares_10min=3", "2026-12-22")
        rows = [line.split()[:4] for line in result.stdout.splitlines()]
        assert [row[2] for row in rows] == ["TENANT", "adler", "(all)"], rows
        assert "wrong_day=0" not in result.stdout and [f.get("cursor") for f in p.asked] == [None, COUNTER]
        expect(p.run("limits", "show", "-", stdin="mailto:b%6Fb@example.org\n", url=url, token=False), 0, "pair")
        assert p.asked[-1]["body"] == {"address": "mailto:bob@example.org"}, p.asked[-1]

        expect(p.run("limits", "clear", COUNTER, url=url, token=False), 0, "1 counter is empty now")
        assert p.asked[-1]["type"] == "limit.clear" and p.asked[-1]["counter"] == COUNTER
        expect(p.run("limits", "clear", "-", "--tenant", "adler", stdin="sms:+4915112345678", url=url, token=False), 0,
               "3 counters are empty now")
        assert p.asked[-1]["body"] == {"address": "sms:+4915112345678", "tenant": "adler"}, p.asked[-1]
        n = len(p.asked)
        for arguments, stdin in ((("clear",), ""), (("clear", BLOCK), ""), (("clear", "echo:bob"), ""),
                                 (("clear", "-"), ""), (("clear", COUNTER, "--tenant", "adler"), ""),
                                 (("show", "echo:bob"), ""), (("show", "-"), "\n"), (("show", "--tenant", "adler"), "")):
            expect(p.run("limits", *arguments, stdin=stdin, url=url, token=False), 64)
        assert len(p.asked) == n


def a_share_may_end_sooner():
    with start() as p:
        expect(p.run("share", "expiry", SHARE, "--expires-in", "15m"), 0, SHARE)
        asked = p.asked[-1]
        assert asked["type"] == "share.expiry" and asked["share"] == SHARE, asked
        at = calendar.timegm(time.strptime(asked["body"]["expires_at"], "%Y-%m-%dT%H:%M:%SZ"))
        assert 890 <= at - time.time() <= 901, asked
        for arguments in ((SHARE,), (SHARE, "--expires-in", "soon"), ("--expires-in", "1h"),
                          (SHARE, "--expires-in", "1h", "--title", "x")):
            expect(p.run("share", "expiry", *arguments), 64)


def a_token_and_its_line_belong_together():
    with start() as p:
        result = expect(p.run("token", "--tenant", "adler"), 0, "tenant adler")
        text = re.search(r"vb_live_\w+", result.stdout)[0]
        entry = re.search(r'token = \{ "([^"]+)" \}', result.stdout)[1]
        inner = api.hashlib.blake2b(text[17:49].encode(), digest_size=32).digest()
        verifier = api.hashlib.blake2b(inner, digest_size=32, key=b"vestibule token verifier v1").digest()
        assert entry == text[8:16] + ":" + api.base64.b64encode(verifier).decode()
        assert set(json.loads(p.run("token", "--json").stdout)) == {"token", "entry"}


def texts_are_checked_and_told_with_their_place():
    """And asks nobody."""
    with tempfile.TemporaryDirectory(prefix="api-ctl-") as folder:
        def run(*arguments, locale="C.UTF-8"):
            return subprocess.run([CTL, "template", *arguments], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "LC_ALL": locale, "VESTIBULE_TEMPLATES": TEMPLATES})

        def write(name, text):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return path

        expect(run("lint", folder), 0, "ok: de, en, es, fr; 4 languages", "  en/link.sms: 3 parts")
        expect(run("lint", os.path.join(folder, "none")), 66, "is no folder")
        expect(run("lint", folder, folder), 64)
        path = write("en/done", "Thanks.\nHere: {colour}\n")
        expect(run("lint", folder), 65, path + ":2: there is no value of this name in braces: {colour}",
               path + ":2: neither {sender} nor {tag}")
        write("en/done", "Gracias, está hecho ({tag}).\n")
        expect(run("lint", folder), 0, "en/done: 1 part, because U+00E1 is not in the SMS alphabet")
        answer = run("preview", "done", "--channel", "sms", "--folder", folder, locale="C")
        expect(answer, 0, "en/done on sms: 1 part, UCS-2, because U+00E1 (á)", "está hecho (7KQ4).")
        write("it/done", "Grazie ({tag}).\n")
        expect(run("lint", folder), 65, "/it:0: `words` is missing", "/it:0: `code` is missing")


def a_preview_is_what_a_guest_gets():
    def run(*arguments):
        return subprocess.run([CTL, "template", "preview", *arguments], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "VESTIBULE_TEMPLATES": TEMPLATES})

    mail = run("code", "--locale", "fr-CA", "--channel", "email")
    expect(mail, 0, "fr/code on email\n", "Subject: Votre code pour une clé de chambre de Hotel Adler (7KQ4)\n",
           "123-456-786", "pendant 10 minutes")
    expect(run("invitation", "--locale", "nl"), 0, "en/invitation on xmpp\n", "en/invitation on sms: 2 parts, GSM-7\n",
           "for 24 hours")
    assert "no texts in nl" in run("over", "--locale", "nl").stderr
    assert not run("over", "--locale", "fr-CA").stderr
    everything = run("--locale", "es", "--time-zone", "Europe/Madrid")
    expect(everything, 0, "es/link-key on xmpp", "Vale hasta el ")
    for message in everything.stdout.split("\nes/"):
        name = message.removeprefix("es/").split(" ")[0]
        assert ("https://" in message) == (name in ("link", "link-part", "link-address")), message
        assert ("123-456-786" in message) == (name == "code"), message
    expect(run("nonsense"), 64, "there is no message nonsense; there are invitation ")
    expect(run("code", "--channel", "fax"), 64, "there is no channel fax; there are xmpp email sms")


def the_doctor_names_what_is_wrong_and_what_to_do():
    with start() as p:
        result = expect(p.run("doctor"), 69, "sms is down: bind refused", "-> ", "the clocks agree", "knows our token")
        assert "failed" in result.stdout
        findings = json.loads(p.run("doctor", "--json").stdout)
        assert {"api", "clock", "part", "token", "configuration", "socket"} <= {f["check"] for f in findings}
        expect(p.run("doctor", url="http://127.0.0.1:1"), 69, "no answer", "systemctl status")


TESTS = api.tap.functions_below(start)


def show():
    with start() as p:
        for arguments in (["share", "show", SHARE], ["share", "list"], ["share", "watch", SHARE],
                          ["share", "cancel", SHARE], ["channels"], ["policies"], ["letters", "list"],
                          ["token", "--tenant", "adler"], ["doctor"], ["share", "create"], ["--help"]):
            print("$ vestibulectl " + " ".join(arguments))
            result = p.run(*arguments)
            print(result.stdout + result.stderr + f"[{result.returncode}]\n")
        print("$ vestibulectl share create ...\n" + p.create("--expires-in", "2h").stdout)


if __name__ == "__main__":
    PROGRAM, CTL = sys.argv[1:3]
    api.PROGRAM = PROGRAM
    if sys.argv[3:] == ["--show"]:
        sys.exit(show())
    sys.exit(api.tap.run(TESTS, sys.argv[3:]))
