"""What is wrong gets a clear error and changes nothing: at the API, on a plugin's socket, in the
configuration, and from recipients."""

import contextlib
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.frames import Closed  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, fresh_key, hotel_policy, is_sanitized, options_of_test, plain, read_text, share_body,
    wait_until, wrong_code)

TABLES = ("share", "content", "message", "outbox", "address", "block", "answer", "reference")


def everything(site):
    return {table: sorted(map(repr, site.rows("SELECT * FROM " + table))) for table in TABLES}


def without(body, *path):
    copy = json.loads(json.dumps(body))
    place = copy
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    return copy


def with_value(body, value, *path):
    copy = json.loads(json.dumps(body))
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copy


class TextSite(Site):
    """An operator with texts of their own."""

    def configuration(self):
        return super().configuration().replace("gateway {", 'gateway {\n  templates = "%s"' % self.path("texts"), 1)

    def write_text(self, name, text):
        path = os.path.join(self.path("texts"), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


class Tests:
    def __init__(self, options):
        self.build = options.build

    # The API.

    def bad_bodies(self):
        good = share_body("echo:bob", sender={"name": "Hotel Adler"})
        text = json.dumps(good)
        yield "nothing", b"", None
        yield "no JSON", b"policy=hotel", None
        yield "JSON cut", text[:-1].encode(), None
        yield "JSON and more", text.encode() + b" x", None
        yield "two values", text.encode() * 2, None
        yield "an array", b"[]", None
        yield "a number", b"1", None
        yield "null", b"null", None
        yield "not UTF-8", text.replace("Bob", "B\udcffb").encode(errors="surrogateescape"), None
        yield "a NUL", text.replace("Bob", "B\\u0000b").encode(), None
        yield "half a surrogate", text.replace("Bob", "B\\ud800b").encode(), None
        yield "too deep", b'{"policy":' + b"[" * 60 + b"]" * 60 + b"}", None
        yield "far too deep", b"[" * 50000, None
        yield "a repeated member", text.replace(
            '"policy"', '"policy":"hotel","policy"').encode(), None
        yield "a repeated member inside", text.replace(
            '"locale"', '"locale":"de","locale"').encode(), None
        yield "an unknown member", json.dumps({**good, "colour": "red"}).encode(), "colour"
        yield "an unknown member inside", json.dumps(
            with_value(good, 1, "recipient", "age")).encode(), "age"
        for path in (("policy",), ("recipient",), ("credential",), ("provisioning",),
                     ("recipient", "addresses"), ("credential", "title"),
                     ("provisioning", "format"), ("provisioning", "content")):
            yield "without " + path[-1], json.dumps(without(good, *path)).encode(), path[-1]
        for value, *path in (
            (7, "policy"), ("none such", "policy"), ("", "policy"), (None, "policy"),
            ([], "recipient"), ("bob", "recipient"), ("echo:bob", "recipient", "addresses"),
            ([], "recipient", "addresses"), ([1], "recipient", "addresses"),
            (["echo:b%d" % n for n in range(40)], "recipient", "addresses"),
            (["echo:bob", "echo:bob"], "recipient", "addresses"),
            ("Mars/Olympus", "recipient", "time_zone"), (1, "recipient", "locale"),
            ("x" * 129, "credential", "title"), ("", "credential", "title"),
            ("x" * 1025, "credential", "description"),
            ("http://evil.example/x.png", "credential", "image_url"),
            ("Hotel Anders", "sender", "name"), (["x"], "provisioning", "format"),
            ("tomorrow", "expires_at"), ("2001-01-01T00:00:00Z", "expires_at"),
            ("2999-01-01T00:00:00Z", "expires_at"), (1795262400, "expires_at"),
            ("x" * 129, "reference"), (7, "reference"),
        ):
            yield "%r as %s" % (str(value)[:30], path[-1]), json.dumps(
                with_value(good, value, *path)).encode(), path[0]
        for address in ("bob", "bob@example.org", "echo:", "echo:Bob Smith", "echo:bob?x=1",
                        "echo:bob#x", "echo:bob,echo:carol", "echo://bob", "xmpp:example.org",
                        "xmpp:bob@example.org/phone", "xmpp:bob@example.org?message",
                        "sms:+49 151 1", "sms:0151123", "sms:+1", "mailto:a@b@c",
                        "mailto:\"a b\"@example.org", "mailto:list:a@example.org;",
                        "javascript:alert(1)", "echo:" + "x" * 4000, "xmpp:b\u202eob@example.org",
                        "xmpp:bob@example.org", "", " echo:bob", "echo:bob\n"):
            yield "address %r" % address[:30], json.dumps(
                with_value(good, [address], "recipient", "addresses")).encode(), "addresses"

    @tap.test
    def each_bad_body_gets_a_problem_by_name_and_changes_nothing(self):
        with Site(self.build) as site:
            before = everything(site)
            headers = {"Content-Type": "application/json"}
            for what, content, member in self.bad_bodies():
                answer = site.tenant.raw("POST", "/v1/shares", content,
                                         {**headers, "Idempotency-Key": fresh_key()})
                assert answer.status in (400, 422), (what, answer)
                self.check_problem(what, answer, member)
            assert everything(site) == before
            self.check_alive(site)

    def check_problem(self, what, answer, member=None):
        kind = answer.headers.get("Content-Type", "")
        assert kind.startswith("application/problem+json"), (what, kind, answer)
        assert answer.json["status"] == answer.status, (what, answer)
        assert re.fullmatch(r"urn:vestibule:problem:[a-z-]+", answer.json["type"]), (what, answer)
        assert answer.json["title"] and answer.json["detail"], (what, answer)
        if member:
            assert member in json.dumps(answer.json), (what, answer)

    def check_alive(self, site):
        phone = site.phone("echo:bob")
        share = site.create("echo:bob")
        phone.say(share["code"])
        site.wait_state(share, "released")

    @tap.test
    def what_is_too_large_is_413_and_what_is_no_json_is_415(self):
        with Site(self.build) as site:
            before = everything(site)
            json_type = {"Content-Type": "application/json"}
            large = json.dumps(share_body("echo:bob", content={"x": "y" * 33000})).encode()
            huge = b'{"policy": "' + b"x" * 200000 + b'"}'
            body = json.dumps(share_body("echo:bob")).encode()
            for what, content, headers, status in (
                ("content of 33 kB", large, json_type, 413),
                ("a body of 200 kB", huge, json_type, 413),
                ("no media type", body, {}, 415),
                ("a form", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
                ("XML", b"<a/>", {"Content-Type": "text/xml"}, 415),
            ):
                answer = site.tenant.raw("POST", "/v1/shares", content,
                                         {**headers, "Idempotency-Key": fresh_key()})
                assert answer.status == status, (what, answer)
                self.check_problem(what, answer)
            for method in ("PUT", "DELETE", "PATCH"):
                answer = site.tenant.raw(method, "/v1/shares", body, json_type)
                assert answer.status == 405 and "Allow" in answer.headers, (method, answer)
            for path in ("/", "/v2/shares", "/v1/shares/", "/v1/shares/x/y/z", "/v1/../etc/passwd",
                         "/v1/shares/%2e%2e", "/v1/shares/shr_" + "0" * 26,
                         "/v1/shares/" + "x" * 3000):
                answer = site.tenant.raw("GET", path)
                assert answer.status in (400, 404, 414), (path, answer)
            for query in ("limit=-1", "limit=x", "state=asleep", "cursor=x", "colour=red",
                          "limit=1&limit=2", "reference=" + "x" * 200):
                answer = site.tenant.raw("GET", "/v1/shares?" + query)
                assert answer.status == 400, (query, answer)
                self.check_problem(query, answer)
            assert everything(site) == before

    @tap.test
    def what_is_no_http_harms_nobody(self):
        with Site(self.build) as site:
            for content in (b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"x" * 100000,
                            b"POST /v1/shares HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                            b"POST /v1/shares HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
                            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                            b"POST /v1/shares HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999"
                            b"999999\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n"):
                with socket.create_connection(("127.0.0.1", site.api_port), 10) as connection:
                    try:
                        connection.sendall(content)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass
                    except OSError:
                        pass
            assert site.rows("SELECT count(*) FROM share") == [(0,)]
            assert site.tenant.get("/healthz").status == 200
            self.check_alive(site)

    @tap.test
    def an_idempotency_key_is_needed_and_means_one_share(self):
        with Site(self.build) as site:
            body, other = share_body("echo:bob"), share_body("echo:carol")
            headers = {"Content-Type": "application/json"}
            content = json.dumps(body).encode()
            for key in (None, "", "short", "x" * 500, "with space " * 3, "\u00fc" * 30):
                extra = {} if key is None else {"Idempotency-Key": key.encode("latin-1")}
                answer = site.tenant.raw("POST", "/v1/shares", content, {**headers, **extra})
                assert answer.status == 400, (key, answer)
                self.check_problem(key, answer)
            key = fresh_key()
            first = site.tenant.post("/v1/shares", body, key=key)
            again = site.tenant.post("/v1/shares", body, key=key)
            assert first.status == again.status == 201
            assert again.headers["Idempotency-Replayed"] == "true"
            assert again.json == first.json and again.json["code"]
            different = site.tenant.post("/v1/shares", other, key=key)
            assert different.status == 422, different
            self.check_problem("another body", different)
            assert site.cancel(first.json).json["state"] == "cancelled"
            after = site.tenant.post("/v1/shares", body, key=key)
            assert after.status == 201 and after.json["id"] == first.json["id"]
            assert "code" not in after.json and after.json["state"] == "cancelled"
            assert site.tenant.post("/v1/shares", other, key=key).status == 422
            assert len(site.tenant.get("/v1/shares").json["shares"]) == 1
            cancel = fresh_key()
            share = site.create("echo:bob")
            answers = [site.cancel(share, key=cancel) for _ in range(3)]
            assert len({answer.content for answer in answers}) == 1

    # A plugin that misbehaves loses its connection, and the gateway goes on.

    @contextlib.contextmanager
    def odd_site(self):
        """A site with a channel whose plugin is the test."""
        with Site(self.build, channels=("echo", "odd"), sockets=("odd",), wait=False,
                  policies=hotel_policy("echo") + hotel_policy("odd", name="odd")) as site:
            for name in ("tenants", "echo", "relay-main"):
                site.wait_channel(name)
            yield site

    @tap.test
    def broken_frames_end_the_connection_and_nothing_else(self):
        with self.odd_site() as site:
            broken = {
                "of length 0": struct.pack(">I", 0),
                "of 65,537 bytes": struct.pack(">I", 65537) + b"x" * 65537,
                "of four gigabytes": struct.pack(">I", 0xffffffff),
                **{what: struct.pack(">I", len(content)) + content for what, content in {
                    "not UTF-8": b'{"type":"\xff\xfe\xfd"}',
                    "not JSON": b"hello",
                    "not an object": b"[]",
                    "without a type": b"{}",
                    "with a type that is a number": b'{"type":1}',
                    "with a repeated member": b'{"type":"x","type":"y"}',
                    "with more after its end": b'{"type":"x"} {}',
                    "too deep": b'{"type":"x","a":' + b"[" * 40 + b"]" * 40 + b"}",
                }.items()},
            }
            for what, content in broken.items():
                plugin = Plugin(site.path("odd"), "odd")
                assert plugin.welcome["type"] == "welcome"
                plugin.write_bytes(content)
                assert plugin.is_closed(), what
                plugin.close()
            for kind, members in (("sent", {"id": 4711}), ("reply", {"id": 0}), ("reply", {"id": -1}),
                                  ("reply", {"id": "x"}), ("reply", {"id": 1}),
                                  ("delivered", {}), ("done", {"id": 1 << 60})):
                plugin = Plugin(site.path("odd"), "odd")
                plugin.write({"type": kind, **members})
                assert plugin.is_closed(), (kind, members)
                plugin.close()
            self.check_alive(site)

    @tap.test
    def a_frame_cut_in_the_middle_is_forgotten_with_its_connection(self):
        with self.odd_site() as site:
            share = site.create("echo:bob", policy="odd")
            whole = Plugin(site.path("odd"), "odd")
            invitation = whole.read_until("send")
            whole.write({"type": "sent", "id": invitation["id"]})
            site.wait_state(share, "invited")
            frame = json.dumps({
                "type": "reply", "id": 1, "inbound": "x", "from": "echo:bob", "text": share["code"],
                "thread": invitation["thread"], "received": 1, "authentic": "strong",
                "automatic": False}).encode()
            for cut in (1, 3, 4, 5, len(frame) // 2, len(frame) - 1):
                whole.write_bytes((struct.pack(">I", len(frame)) + frame)[:cut + 4 * (cut > 4)])
                whole.close()
                whole = Plugin(site.path("odd"), "odd")
            assert site.show(share)["state"] == "invited"
            whole.close()
            self.check_alive(site)

    @tap.test
    def hello_must_be_ours(self):
        with self.odd_site() as site:
            for name, role, capabilities in (("echo", "channel", ()), ("odd", "relay", ()),
                                             ("odd", "front", ()), ("odd", "channel", ("!magic",))):
                plugin = Plugin(site.path("odd"), name, role, capabilities)
                assert plugin.welcome["type"] == "refuse" and plugin.welcome["reason"]
                assert plugin.is_closed()
                plugin.close()
            for version in ([2, 9], [1], "1", [], [3, 1], None):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(15)
                    connection.connect(site.path("odd"))
                    content = json.dumps({"type": "hello", "protocol": version, "role": "channel",
                                          "name": "odd", "version": "1", "capabilities": []})
                    connection.sendall(struct.pack(">I", len(content)) + content.encode())
                    answer = b""
                    while True:
                        part = connection.recv(65536)
                        if not part:
                            break
                        answer += part
                    assert b"welcome" not in answer, version
            self.check_alive(site)

    @tap.test
    def a_flood_whose_answers_nobody_reads_costs_no_memory_and_harms_nobody(self):
        with self.odd_site() as site:
            plugin = Plugin(site.path("odd"), "odd", timeout=3)
            reply = {"type": "reply", "from": "echo:bob", "received": 1, "authentic": "strong",
                     "automatic": False, "text": "x" * 4000}
            try:
                for number in range(1, 6000):  # about 24 MB, and not one answer is read
                    plugin.write({**reply, "id": number, "inbound": str(number)})
            except OSError:
                pass  # it lost its connection, or was no longer read from
            self.check_alive(site)
            with open("/proc/%d/status" % site.gateway.pid) as file:
                memory = int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])
            assert memory < (800000 if is_sanitized(self.build) else 100000), memory
            plugin.close()

    @tap.test
    def a_stranger_behind_a_channel_cannot_act_as_a_front(self):
        with self.odd_site() as site:
            plugin = Plugin(site.path("odd"), "odd")
            for kind in ("share.list", "share.create", "clock.accept", "letter.list"):
                number = plugin.ask(kind, credential={"uid": 0, "gid": 0, "pid": 1})
                assert plugin.read() == {"type": "unsupported", "id": number}
            assert site.rows("SELECT count(*) FROM share") == [(0,)]
            plugin.close()

    # Configuration.

    def check_configuration(self, site, text, *words, credentials=None):
        path = site.path("odd.conf")
        with open(path, "w") as file:
            file.write(text)
        environment = {**os.environ, **site.environment()}
        if credentials is not None:
            environment["CREDENTIALS_DIRECTORY"] = credentials
        for options in ((), ("--check",)):
            if credentials is not None and options:
                continue
            done = subprocess.run(
                [site.program("gateway", "vestibuled"), "--config", path, *options],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=environment, timeout=30, text=True)
            assert done.returncode != 0, (words, done.stdout)
            for word in words:
                assert word in done.stdout, (word, done.stdout)

    @tap.test
    def a_wrong_configuration_is_named_by_file_and_line(self):
        site = Site(self.build)
        try:
            good = site.configuration()
            n_lines = good.count("\n")
            line = "odd.conf:%d"
            where = good[:good.index("factors")].count("\n") + 1
            for text, *words in (
                (good.replace("class = hotel", "class = hotel\n  colour = red"), "colour",
                 line % where),
                (good.replace("class = hotel", "class = castle"), "class", line % (where - 1)),
                (good.replace("reply-code", "blood"), "blood", line % where),
                (good + "policy hotel {\n}\n", "hotel", line % (n_lines + 1)),
                (good + "gateway {\n", line % (n_lines + 1)),
                (good + "castle x {\n}\n", "castle", line % (n_lines + 1)),
                (good.replace("channels = { echo }", "channels = { pigeon }"), "pigeon"),
                (good.replace("relay = main", "relay = moon"), "moon"),
                (good.replace("policies = { hotel }", "policies = { castle }"), "castle"),
                (good.replace("https://localhost", "http://localhost"), "https://"),
                (good.replace('name = "Hotel Adler"', 'name = "http://x.example"'), "name"),
                (re.sub(r'token = \{ "[^"]*" \}', 'token = { "%s" }' % site.tenant.token, good),
                 "token"),
                (good.replace("code = D9", "code = D6"), "code"),
                (good.replace("code = D9", "code = D9\n  attempts = 0"), "attempts"),
                (good.replace("code = D9", "code = D9\n  lifetime = 90"), "lifetime"),
            ):
                assert text != good, words
                self.check_configuration(site, text, "odd.conf", *words)
        finally:
            site.__exit__(None, None, None)

    @tap.test
    def a_policy_that_cannot_work_is_refused_with_the_reason(self):
        site = Site(self.build)
        try:
            good = site.configuration()
            for text, *words in (
                (good.replace("class = hotel", "class = car"), "RAL"),
                (good.replace("code = D9", "code = D9\n  attempts_total = 9\n  attempts = 5\n"
                              "  mailbox_ttl = 30h"), "mailbox_ttl"),
                (good.replace("code = D9", "code = D9\n  mailbox_ttl = 24h\n  lifetime = 60h"), "66"),
                (good.replace("code = D9", "code = D9\n  authentic = strong").replace(
                    "channel echo {", "channel echo {\n  authentic = weak"), "weak"),
                (good.replace("code = D9", "code = D9\n  code_lifetime = 5m"), "code_lifetime means nothing here"),
                (good.replace("code = D9", "code = D9\n  interim_floor = RAL-2"), "nothing to stand in for"),
                (good.replace("reply-code }", "cross-code }"), "two channels of different operators"),
                (good.replace("reply-code }", "split, page-code }"), "page-code is not a factor of this version"),
                (good.replace("reply-code }", "fact }").replace("  code = D9\n", ""), "RAL-0", "RAL-1"),
                (good.replace("reply-code }", "reply-code, approve }\n  approval = no"), "leave one of them out"),
            ):
                assert text != good
                self.check_configuration(site, text, "hotel", *words)
        finally:
            site.__exit__(None, None, None)

    @tap.test
    def missing_credentials_and_a_wrong_root_key_are_named(self):
        site = Site(self.build)
        try:
            good = site.configuration()
            empty = site.path("empty")
            os.mkdir(empty, 0o700)
            self.check_configuration(site, good, "root.key", credentials=empty)
            site.relay.start()
            site.start_gateway()
            assert site.stop_gateway() == 0
            site.write_secret(b"another".ljust(32), "root.key")
            self.check_configuration(site, good, "another root key",
                                     credentials=site.credentials)
            site.write_secret(b"short", "root.key")
            self.check_configuration(site, good, "32 bytes", credentials=site.credentials)
        finally:
            site.__exit__(None, None, None)

    @tap.test
    def a_reload_of_a_wrong_configuration_changes_nothing(self):
        with Site(self.build) as site:
            good = site.configuration()
            for number, text in enumerate((
                    good.replace("D9", "D6"), good + "castle x {\n}\n", "\n",
                    good.replace('"%s"' % site.state, '"%s-2"' % site.state)), 1):
                site.reload(text)
                assert read_text(site.log).count("Nothing was reloaded") == number
            self.check_alive(site)

    # Texts.

    WRONG_TEXTS = (
        ("en/over", "Bye {colour} ({tag})\n", "en/over:1: there is no value of this name in braces: {colour}"),
        ("de/wrong", "Nein ({tag})\n", "de/wrong:1: {tries} is missing"),
        ("fr/declined", "C'est noté.\n", "fr/declined:1: neither {sender} nor {tag} says what it is about"),
        ("es/help", "{sender} {kind} {tag} {left}\n", "es/help:1: {code} is missing"),
        ("en/help", "{sender} {kind} {tag} {left} {code}: {secret}\n", "en/help:1: {secret} is not allowed"),
        ("en/code", "subject: x\n\n{secret} {kind} {sender} {tag} {left} {link}\n", "en/code:3: {link} is not allowed"),
        ("en/link", "subject: {link}\n\n{sender} {tag} {link}\n", "en/link:1: {link} is not allowed in a subject"),
        ("en/done", "See https://x.example ({tag})\n", "en/done:1: a web address"),
        ("en/done", "Done\u202e ({tag})\n", "en/done:1: the control or hidden character U+202E"),
        ("en/done", "Done {tag\n", "en/done:1: { without }"),
        ("en/invitaton", "x\n", "/en:0: there is no message `invitaton`"),
        ("en/words", "kind-hotel = a room key\n", "en/words:1: the word `kind-home` is missing"),
        ("it/over", "Finito ({tag}).\n", "/it:0: `invitation` is missing; a language needs all"),
        ("fr_CA/over", "Fini ({tag}).\n", "the folder `fr_CA` is not named as a language is"),
    )

    @tap.test
    def texts_that_could_not_be_sent_are_refused_with_their_place(self):
        site = TextSite(self.build)
        try:
            for name, text, problem in self.WRONG_TEXTS:
                site.write_text(name, text)
                self.check_configuration(site, site.configuration(), problem)
                shutil.rmtree(site.path("texts"))
        finally:
            site.__exit__(None, None, None)

    @tap.test
    def a_text_of_ones_own_replaces_one_and_a_wrong_one_changes_nothing(self):
        with TextSite(self.build) as site:
            site.write_text("fr/declined", "Dommage, {sender} le saura ({tag}).\n")
            site.reload(site.configuration())
            assert "Nothing was reloaded" not in read_text(site.log)
            phone = site.phone("echo:luc")
            share = site.create("echo:luc", locale="fr-CA")
            thread = phone.wait_message("invitation", contains="Hotel Adler a une clé de chambre pour vous")["thread"]
            site.write_text("fr/declined", "Dommage.\n")
            site.reload(site.configuration())
            assert read_text(site.log).count("Nothing was reloaded") == 1
            assert "fr/declined:1: neither {sender} nor {tag}" in read_text(site.log)
            phone.say("non merci", thread=thread)
            phone.wait_message("notice", contains="Dommage, Hotel Adler le saura (%s)." % share["tag"])
            site.wait_state(share, "declined")

    # Recipients, each in their language.

    # What asks for help; what the answer says; a sentence around the word for STOP; what is said of that; the
    # code as somebody may put it; all of STOP; what is said of that.
    SPOKEN = {
        "en": ("Help, please", "shares a room key", "please do not stop at the hotel", "only the word STOP",
               "\u201c%s\u201d thanks!", "STOP ALL", "from Hotel Adler or anybody else"),
        "de": ("Hilfe, bitte", "hat einen Zimmerschlüssel", "Bitte nicht stoppen", "nur das Wort STOP",
               "\u201e%s\u201c, danke schön", "stopp alle, danke", "weder von Hotel Adler noch von anderen"),
        "fr": ("AIDE, s\u2019il vous plaît", "a une clé de chambre", "je suis à l\u2019arrêt de bus", "le seul mot STOP",
               "Le code est le «\u202f%s\u202f», merci\u202f!", "Arrêtez tout", "ni de Hotel Adler ni de personne d'autre"),
        "es": ("¡ayuda!", "tiene una llave de hotel", "no pare ahora, por favor", "solo la palabra BAJA",
               "la clave es %s, muchas gracias", "¡Baja todo!", "ni de Hotel Adler ni de nadie"),
    }
    LOCALES = {"en": "nl", "de": "de-AT", "fr": "fr-CA", "es": "es-419"}  # who has no texts gets English

    @tap.test
    def each_language_is_understood_and_answered_in(self):
        with Site(self.build) as site:
            for language, (ask, help_text, sentence, hint, code, *_) in self.SPOKEN.items():
                phone = site.phone("echo:" + language)
                share = site.create("echo:" + language, locale=self.LOCALES[language])
                thread = phone.wait_message("invitation", contains=help_text)["thread"]
                phone.say(ask, thread=thread)
                phone.wait_message("notice", contains="STOP ALL" if language == "en" else help_text)
                phone.say(sentence, thread=thread)
                phone.wait_message("notice", contains=hint)
                found = site.show(share)
                assert (found["state"], found["attempts_left"]) == ("invited", 3), found
                wide = "".join(chr(ord(c) + 0xfee0) if c.isdigit() else "\u2011" for c in share["code"])
                phone.say(code % wide, thread=thread)
                site.wait_state(share, "released")
            assert site.rows("SELECT * FROM block") == []

    @tap.test
    def only_the_languages_of_a_policy_are_written(self):
        with Site(self.build, policies=hotel_policy("echo", languages="{ de, en }")) as site:
            for locale, language in (("fr-CA", "de"), ("en-GB", "en"), ("de-AT", "de"), ("es", "de")):
                phone = site.phone("echo:" + locale.lower())
                site.create("echo:" + locale.lower(), locale=locale)
                text = phone.wait_message("invitation")["text"]
                assert self.SPOKEN[language][1] in text, (locale, text)

    @tap.test
    def all_of_stop_is_understood_in_each_language(self):
        with Site(self.build) as site:
            for number, (language, (*_, stop_all, said)) in enumerate(self.SPOKEN.items(), 1):
                phone = site.phone("echo:" + language)
                share = site.create("echo:" + language, locale=language)
                thread = phone.wait_message("invitation")["thread"]
                phone.say(stop_all, thread=thread)
                phone.wait_message("notice", contains=said)
                site.wait_state(share, "declined")
                blocks = site.operator("GET", "/v1/blocks?limit=100").json["blocks"]
                assert len(blocks) == number, blocks
                assert all(block["reason"] == "stop_all" and not block.get("tenant") for block in blocks), blocks

    @tap.test
    def a_relay_that_refuses_us_our_own_mailbox_ends_the_share_and_is_told_of_once(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            site.relay.stop()
            share = site.create("echo:bob")
            phone.say(share["code"])
            site.wait_state(share, "releasing")
            site.relay.start()
            site.wait_event(share, "link_accepted", timeout=60)
            site.relay.stop()
            path = os.path.join(site.relay.state, "relay.sqlite")
            with contextlib.closing(sqlite3.connect(path)) as store, store:
                found = store.execute(
                    "UPDATE mailbox SET initiator = randomblob(32), recipient = randomblob(32)")
                assert found.rowcount == 1
            site.relay.start()
            site.wait_event(share, "relay_claimed", timeout=60)
            told = "refuses us the mailbox of a share (unauthorised)"
            wait_until(lambda: told in read_text(site.log), 60, "the deletion is tried, and the operator told")
            assert site.relay.requests("DeleteMailbox")
            site.kill_gateway()
            site.start_gateway()
            wait_until(lambda: len(site.relay.requests("DeleteMailbox")) > 1, 60, "and once more")
            later = site.create("echo:eve")  # its answers come after those
            site.phone("echo:eve").say(later["code"])
            site.wait_event(later, "link_accepted", timeout=60)
            assert site.show(share)["state"] == "withdrawing"
            assert read_text(site.log).count("refuses us the mailbox") == 1

    @tap.test
    def odd_replies_spend_nothing_and_end_nothing(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            thread = phone.wait_message("invitation")["thread"]
            code = plain(share["code"])
            for text in (" ", "\n\n", ".", "?!", "x" * 4096, "1" * 4096, "\u200b" * 200,
                         "да", "是的", "نعم", "1234", code[:-1], code + "1", "+49" + code,
                         "https://evil.example/" + code, "a" + code + "b", "🔑" * 500,
                         "NO!?x", "don't stop", "null", "{}", "<b>NO</b>", "%s", "'; DROP TABLE share"):
                phone.say(text, thread=thread)
            found = site.show(share)
            assert (found["state"], found["attempts_left"]) == ("invited", 3), found
            assert site.relay.lines() == []
            wide = "".join(chr(ord(digit) + 0xfee0) for digit in code)
            phone.say("\u201c%s \u2013 %s\u00a0%s\u201d\n" % (wide[:3], wide[3:6], wide[6:]),
                      thread=thread)  # full-width digits, quotes and dashes of a phone
            site.wait_state(share, "released")

    @tap.test
    def late_and_repeated_replies_change_nothing_more(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            phone.say(share["code"], inbound="the answer")
            site.wait_event(share, "link_accepted")
            for _ in range(5):
                phone.say(share["code"], inbound="the answer")
                phone.say(share["code"])
                phone.say(wrong_code(share["code"]))
            found = site.show(share)
            assert found["state"] == "released" and found["attempts_left"] == 2
            assert events_of(found).count("confirmed") == 1
            assert len(site.relay.requests("CreateMailbox")) == 1
            assert site.receive(phone.wait_message("link")["link"]).returncode == 0
            site.wait_state(share, "completed")
            phone.say(share["code"])
            phone.say("NO")
            assert site.show(share)["state"] == "completed"

    @tap.test
    def random_replies_from_a_plugin_never_stop_the_gateway(self):
        chance = random.Random(7)
        with self.odd_site() as site:
            share = site.create("echo:bob", policy="odd")
            plugin = Plugin(site.path("odd"), "odd")
            thread = plugin.read_until("send")["thread"]
            n_closed = 0
            for number in range(300):
                frame = {"type": "reply", "id": 1 + number, "inbound": str(number),
                         "from": "echo:bob", "text": "hello", "thread": thread, "received": 1,
                         "authentic": "strong", "automatic": False}
                name = chance.choice(sorted(set(frame) - {"type"}))
                frame[name] = chance.choice(
                    [None, 0, -1, 1.5, "", "x", "x" * 5000, [], {}, True, "\u202e", "\0", 1 << 52])
                try:
                    plugin.write(frame)
                    plugin.write({"type": "delivered", "message": chance.choice(
                        [thread, "msg_x", "", "x" * 2000])})
                except OSError:
                    n_closed += 1
                    plugin.close()
                    plugin = Plugin(site.path("odd"), "odd")
            plugin.close()
            assert site.gateway.poll() is None
            found = site.show(share)
            assert found["attempts_left"] == 3 and found["state"] in ("pending", "invited"), found
            self.check_alive(site)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
