"""Random sequences of requests, played in step against two relays; where their answers differ, one of
the two has read the drafts wrongly, or the drafts leave it open. What is left open is in ALLOWED.

A sequence comes from its seed alone: it speaks of claims, request ids and mailboxes by number.
"""

import html.parser
import random
import time
import urllib.parse
import uuid

import client
import draft_v

LENGTH = (8, 30)
MINUTE, HOUR, DAY = 60, 3600, 86400
CLAIMS = (2, 3, 4)
REQUEST_IDS = (2, 3, 5)  # few, so that they meet again
PLACES = 3
PLACES_ONLY = 0.15  # of the sequences are about Draft R alone
CLOCKS_APART = 30  # seconds between two expirations that were counted from two clocks


class Disagreement(AssertionError):
    """The two relays do not answer alike."""


def _header(step, wanted):
    return next((value for name, value in step["headers"].items() if name.lower() == wanted.lower()), None)


def _bad_claim(step):
    claim = _header(step, draft_v.DEVICE_CLAIM)
    return claim is not None and not draft_v.is_uuid(claim)


# Where the two may differ: which step (and which open points the double came across), what the double
# answers, what vestibule-relay answers, and why both are right. Where one of them did something that
# the other did not, the sequence ends.
ALLOWED = (
    (lambda step, _: _bad_claim(step), 401, 400,
     "a claim that is no UUID: Create's 401 is for a bad claim, 400 for what does not parse"),
    (lambda step, _: step.get("mailbox") == "bad", (400, 401), 404,
     "headers and a path that are both wrong: it is open whether such a path names a mailbox at all"),
    (lambda step, _: step.get("open") in ZONES, 400, 200,
     "RFC 3339 lets a time end in z, and have fractions and offsets; the draft writes Z, UTC only"),
    (lambda step, _: step.get("open") == "rights", 400, 200,
     "a right that is named twice"),
    (lambda step, _: step.get("open") == "type", 200, 400,
     "a payload.type of neither draft: it is the parties', or one of two words"),
    (lambda step, _: step.get("open") in ("title", "token"), 200, 400,
     "a title or token that fits the request: the draft gives no limits, each relay has its own"),
    (lambda step, _: step.get("open") == "nul", 200, 400,
     "U+0000 in payload.data, which no Base64 has"),
    (lambda step, _: step["kind"] == "place", 405, 404,
     "neither such a method nor such a place: the reading names both answers"),
    (lambda step, _: step["kind"] == "place" and "If-None-Match" not in step["headers"], (201, 204), 428,
     "an unconditional PUT: plain HTTP has it overwrite, the project's reading forbids it"),
    (lambda _, points: "outlives its mailbox" in points, (200, 400, 401), 201,
     "how long a request id is remembered after its mailbox is open"),
    (lambda _, points: "another operation's" in points, 201, 201,
     "a Create with the id of another operation: which body a repeated Create has is open"),
)


# --- What a sequence asks ----------------------------------------------------------------------------

PAYLOADS = ({"type": "AEAD_AES_128_GCM", "data": "payload-%d"}, {"type": "AEAD_AES_256_GCM", "data": ""},
            {"type": "AEAD_AES_128_GCM", "data": "p%d", "more": [1, {"deep": None}]},
            {"type": "AEAD_AES_128_GCM", "data": "\u2603 not %d base64"})
BAD_PAYLOADS = (None, "text", {"type": "AEAD_AES_128_GCM"}, {"data": "x"}, {"type": 1, "data": "x"},
                {"type": "AEAD_AES_128_GCM", "data": None}, [])
DISPLAY = {"title": "Room <1>", "description": "\u00c9lys\u00e9e & \"more\"",
           "imageURL": "https://hotel.example/i'.png"}
BAD_DISPLAYS = (None, {}, "text", dict(DISPLAY, title=1), dict(DISPLAY, imageURL=None),
                {"title": "t", "description": "d"})
TOKENS = ({"type": "com.example.push", "tokenData": "token-%d"},)
BAD_TOKENS = ({"type": "com.example.push"}, {"tokenData": "x"}, "text", {"type": 1, "tokenData": "x"})
RIGHTS = ("R", "D", "RD", "RWD", "RWD", "DWR", "RW", "W", "WD")
BAD_RIGHTS = ("X", "rwd", 1, "RWDX", "R W")
TTLS = (10 * MINUTE, HOUR, DAY, 6 * DAY)
BAD_TTLS = (-HOUR, 8 * DAY)
BAD_TIMES = ("tomorrow", 1700000000, "2031-02-30T00:00:00Z", "2031-01-01T00:00:00", "2031-01-01 00:00:00Z",
             None)
BAD_JSON = (b"", b"{", b"[]", b"null", b"{\"payload\":}", b"\xff\xfe", b"{\"a\":1}{}",
            b"{\"payload\":{\"type\":\"a\",\"data\":\"b\"},\"payload\":{\"type\":\"a\",\"data\":\"b\"}}",
            b"{\"payload\":{\"type\":\"a\",\"data\":\"b\",\"data\":\"c\"}}", b"\"text\"",
            b"{\"payload\":{\"type\":\"a\",\"data\":\"\\ud800\"}}")
ZONES = ("z", ".5Z", "+01:00")
OPEN = ("type", "nul", "title", "token", "rights") + ZONES
BAD_UUIDS = ("", "x", "5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a0", "{5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01}")


class Generator:
    """Steps as dictionaries, valid for the most part: what is always refused teaches little."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.uuids = random.Random("%s-uuids" % seed)
        self.claims = [self._uuid() for _ in range(self.random.choice(CLAIMS))]
        self.ids = [self._uuid() for _ in range(self.random.choice(REQUEST_IDS))]
        self.only = "place" if self.random.random() < PLACES_ONLY else None
        self.places = self._new_places()
        self.number = 0
        self.made = 0

    def _uuid(self):
        return str(uuid.UUID(int=self.uuids.getrandbits(128), version=4))

    def _new_places(self):
        return ["%s_%d" % (self._uuid().replace("-", ""), number) for number in range(PLACES)]

    def _often(self, good, bad, share=0.12):
        return self.random.choice(bad if self.random.random() < share else good)

    def _payload(self):
        self.number += 1
        payload = self._often(PAYLOADS, BAD_PAYLOADS, 0.07)
        if isinstance(payload, dict) and isinstance(payload.get("data"), str) and "%d" in payload["data"]:
            payload = dict(payload, data=payload["data"] % self.number)
        return payload

    def _token(self):
        token = self._often(TOKENS, BAD_TOKENS, 0.15)
        if isinstance(token, dict) and "%d" in str(token.get("tokenData")):
            token = dict(token, tokenData=token["tokenData"] % self.number)
        return token

    def _configuration(self):
        if self.random.random() < 0.04:
            return self.random.choice(("text", {}, {"accessRights": "RWD"}))
        value = {"accessRights": self._often(RIGHTS, BAD_RIGHTS, 0.05)}
        if self.random.random() < 0.1:
            del value["accessRights"]
        if self.random.random() < 0.05:
            return dict(value, expiration=self.random.choice(BAD_TIMES))
        value["expiration"] = {"in": self._often(TTLS, BAD_TTLS, 0.05),
                               "zone": self._often(("Z",), ("+00:00", "+0000"), 0.1)}
        return value

    def _create_body(self):
        body = {"payload": self._payload(), "displayInformation": self._often((DISPLAY,), BAD_DISPLAYS, 0.05)}
        if self.random.random() < 0.3:
            body["notificationToken"] = self._token()
        if self.random.random() < 0.9:
            body["mailboxConfiguration"] = self._configuration()
        if self.random.random() < 0.1:
            body["unknown"] = {"member": [1, 2]}
        return body

    def _update_body(self):
        body = {"payload": self._payload()}
        if self.random.random() < 0.3:
            body["notificationToken"] = self._token()
        return body

    def _leave_open(self, step):
        """Puts into a body one thing that the draft leaves to each relay, and says so."""
        body, name = step["body"], self.random.choice(OPEN)
        payload, display = body.get("payload"), body.get("displayInformation")
        configuration = body.get("mailboxConfiguration")
        if name == "type" and isinstance(payload, dict):
            body["payload"] = dict(payload, type=self.random.choice(("AES128", "aead_aes_128_gcm", "")))
        elif name == "nul" and isinstance(payload, dict):
            body["payload"] = dict(payload, data="a\0b")
        elif name == "title" and isinstance(display, dict):
            body["displayInformation"] = dict(display, title="t" * 4096)
        elif name == "token":
            body["notificationToken"] = {"type": "com.example.push", "tokenData": "x" * 8192}
        elif name == "rights" and isinstance(configuration, dict):
            body["mailboxConfiguration"] = dict(configuration, accessRights="RWDRWD")
        elif name in ZONES and isinstance(configuration, dict) and isinstance(
                configuration.get("expiration"), dict):
            wish = dict(configuration["expiration"], zone=name)
            body["mailboxConfiguration"] = dict(configuration, expiration=wish)
        else:
            return
        step["open"] = name

    def _headers(self):
        claim, request_id = self.random.choice(self.claims), self.random.choice(self.ids)
        if self.random.random() < 0.15:
            claim = claim.upper()
        if self.random.random() < 0.15:
            request_id = request_id.upper()
        headers = {draft_v.DEVICE_CLAIM: claim, draft_v.REQUEST_ID: request_id}
        chance = self.random.random()
        if chance < 0.06:
            del headers[self.random.choice(list(headers))]
        elif chance < 0.12:
            headers[self.random.choice(list(headers))] = self.random.choice(BAD_UUIDS)
        if self.random.random() < 0.2:
            headers = {name.lower(): value for name, value in headers.items()}
        return headers

    def _mailbox(self):
        if self.random.random() < 0.04 or not self.made:
            return self.random.choice(("none", "upper", "bad"))
        return self.random.randrange(self.made)

    def step(self):
        kind = self.only or self.random.choices(
            ("create", "read", "update", "delete", "relinquish", "preview", "odd", "clock", "place"),
            (14, 26, 20, 5, 12, 3, 3, 3, 14))[0]
        if kind == "clock":
            seconds = self.random.choice((MINUTE, 20 * MINUTE, HOUR + MINUTE, 3 * DAY))
            if seconds > DAY:
                self.places = self._new_places()  # how long a message of Draft R lives is open
            return {"kind": kind, "seconds": seconds}
        if kind == "place":
            return self._place()
        step = {"kind": kind, "headers": self._headers()}
        if kind == "create":
            self.made += 1
        else:
            step["mailbox"] = self._mailbox()
        if kind in ("create", "update"):
            step["body"] = self._create_body() if kind == "create" else self._update_body()
            chance = self.random.random()
            if chance < 0.06:
                step["raw"] = self.random.choice(BAD_JSON)
            elif chance < 0.11:
                self._leave_open(step)
        if kind == "odd":
            step["method"] = self.random.choice(("GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"))
            step["path"] = self.random.choice(
                ("/", "/v1/m", "/v1/m/", "/v2/m", "/v1/", "/v1/m/%s", "/v1/m/%s/more", "/v2/m/%s", "/v1/M/%s",
                 "/v1//m/%s"))
        elif self.random.random() < 0.1:
            step["query"] = self.random.choice(("?v=c", "?", "?x=%2e&y"))
        return step

    def _place(self):
        method = self.random.choices(
            ("PUT", "GET", "DELETE", "HEAD", "POST", "PATCH"), (6, 4, 2, 0.5, 0.4, 0.3))[0]
        path = "/t/" + self.random.choice(self.places)
        if self.random.random() < 0.06:
            path = self.random.choice(("/t/", "/t", "/t/a/b", "/t/.."))
        self.number += 1
        step = {"kind": "place", "method": method, "path": path, "headers": {}}
        if method == "PUT":
            step["headers"] = {"If-None-Match": "*", "Content-Type": "application/octet-stream"}
            if self.random.random() < 0.1:
                step["headers"]["If-None-Match"] = self.random.choice(("\"tag\"", "**"))
            elif self.random.random() < 0.1:
                del step["headers"]["If-None-Match"]
            step["raw"] = self._often((b"body-%d" % self.number, bytes(range(256))), (b"",))
        return step


# --- What a relay answers ----------------------------------------------------------------------------


class Preview(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = {}, 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.scripts += tag == "script"
        if tag == "meta" and values.get("property", "").startswith("og:"):
            self.found[values["property"]] = values.get("content")


class Side:
    """One relay as it sees a sequence: what its mailboxes are called, and what it said."""

    def __init__(self, target):
        self.target = target
        self.https = client.Https(target.url, target.ca_file)
        self.mailboxes = {}

    def _path(self, step):
        if step["kind"] == "place" or step["kind"] == "create":
            return step.get("path", "/v1/m") + step.get("query", "")
        mailbox = step["mailbox"]
        known = self.mailboxes.get(mailbox, "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77")
        name = {"bad": "not-a-uuid", "upper": known.upper()}.get(mailbox, known)
        if step["kind"] == "odd":
            return step["path"].replace("%s", name)
        return "/v1/m/" + name + step.get("query", "")

    def _body(self, step, now):
        if "raw" in step:
            return step["raw"]
        if "body" not in step:
            return b""
        body = dict(step["body"])
        configuration = body.get("mailboxConfiguration")
        if isinstance(configuration, dict) and isinstance(configuration.get("expiration"), dict):
            wish = configuration["expiration"]
            text = draft_v.time_text(now + wish["in"])[:-1] + wish["zone"]
            body["mailboxConfiguration"] = dict(configuration, expiration=text)
        return draft_v.json_bytes(body)

    METHODS = {"create": "POST", "read": "POST", "update": "PUT", "delete": "DELETE",
               "relinquish": "PATCH", "preview": "GET"}

    def play(self, step, number, now):
        """What is compared: status, echo, and what the body says, in the terms of the sequence."""
        if step["kind"] == "clock":
            self.target.advance_clock(step["seconds"])
            return None
        method = self.METHODS.get(step["kind"], step.get("method"))
        headers = dict(step["headers"])
        if step["kind"] == "preview":
            headers = {}
        answer = self.https.send(method, self._path(step), headers, self._body(step, now))
        if answer is None:
            raise Disagreement("%s gave no answer" % self.target.name)
        sent = _header({"headers": headers}, draft_v.REQUEST_ID)
        seen = {"status": answer.status}
        if sent and answer.headers.get(draft_v.REQUEST_ID) != sent:
            seen["echo"] = answer.headers.get(draft_v.REQUEST_ID)
        if step["kind"] == "place":
            if method == "GET" and answer.status == 200:
                seen.update(body=answer.body, type=answer.headers.get("Content-Type"))
        elif 200 <= answer.status < 300:
            seen.update(self._said(step, number, answer))
        return seen

    def _said(self, step, number, answer):
        if step["kind"] == "create":
            if not answer.body:
                return {"mailbox": None}
            link = draft_v.json_parse(answer.body)["urlLink"]
            name = urllib.parse.urlsplit(link).path.rpartition("/")[2]
            if answer.status == 200:
                self.mailboxes[number] = name
            known = {value: key for key, value in self.mailboxes.items()}
            return {"mailbox": known.get(name), "origin": link == self.target.url + "/v1/m/" + name}
        if step["kind"] == "read":
            value = draft_v.json_parse(answer.body)
            return {"payload": value["payload"], "display": value["displayInformation"],
                    "expiration": draft_v.time_parse(value["expiration"])}
        if step["kind"] == "preview":
            preview = Preview(answer.body.decode("utf-8"))
            return {"type": (answer.headers.get("Content-Type") or "").partition(";")[0],
                    "scripts": preview.scripts, "policy": "Content-Security-Policy" in answer.headers,
                    **{name: preview.found.get(name) for name in ("og:title", "og:description", "og:image")}}
        return {}


# --- Both together -----------------------------------------------------------------------------------


def _same(left, right):
    if "expiration" not in left or "expiration" not in right:
        return left == right
    near = abs(left["expiration"] - right["expiration"]) <= CLOCKS_APART
    return near and dict(left, expiration=0) == dict(right, expiration=0)


def _allowance(step, points, left, right):
    """The index in ALLOWED of a difference, or None."""
    for index, (applies, left_status, right_status, _) in enumerate(ALLOWED):
        statuses = left_status if isinstance(left_status, tuple) else (left_status,)
        if left["status"] in statuses and right["status"] == right_status and applies(step, points):
            return index
    return None


def probes(generator):
    """Who is bound where shows in who may still read. Those of the sequence's order come first."""
    for mailbox in range(generator.made):
        for claim in generator.claims:
            yield {"kind": "read", "mailbox": mailbox,
                   "headers": {draft_v.DEVICE_CLAIM: claim, draft_v.REQUEST_ID: draft_v.new_uuid()}}


def _written(steps):
    return "\n".join("  %d. %r\n     %r | %r" % (number, *entry) for number, entry in enumerate(steps, 1))


def play(seed, left_target, right_target):
    """One sequence; returns how many answers were compared. The left one is relay.Relay."""
    generator = Generator(seed)
    left, right = Side(left_target), Side(right_target)
    steps, compared = [], 0
    length = generator.random.randint(*LENGTH)
    try:
        for step in _steps(generator, length):
            number = generator.made - 1
            now = time.time() + left_target.offset
            seen = left.play(step, number, now), right.play(step, number, now)
            steps.append((step, *seen))
            if step["kind"] == "clock":
                continue
            compared += 1
            if _same(*seen):
                continue
            if _allowance(step, left_target.open_points(), *seen) is None:
                raise Disagreement("seed %s: %s and %s differ in the last of\n%s" % (
                    seed, left_target.name, right_target.name, _written(steps)))
            if min(seen[0]["status"], seen[1]["status"]) < 300 and seen[0]["status"] != seen[1]["status"]:
                break
    finally:
        left.https.close()
        right.https.close()
    return compared


def _steps(generator, length):
    for _ in range(length):
        yield generator.step()
    yield from probes(generator)


# --- What the list allows, asked for on purpose ------------------------------------------------------


def _example(kind, request_id=None, claim=None, **members):
    headers = {draft_v.DEVICE_CLAIM: claim or draft_v.new_uuid(),
               draft_v.REQUEST_ID: request_id or draft_v.new_uuid()}
    step = {"kind": kind, "headers": headers}
    if kind != "create":
        step["mailbox"] = 0
    if kind in ("create", "update"):
        step["body"] = {"payload": PAYLOADS[1]}
    if kind == "create":
        step["body"].update(displayInformation=DISPLAY, mailboxConfiguration={
            "accessRights": "RWD", "expiration": {"in": HOUR, "zone": "Z"}})
    return dict(step, **members)


def _open(name, **members):
    step = _example("create", open=name)
    return [dict(step, body=dict(step["body"], **members))]


def examples():
    """For each entry of ALLOWED, by its place there, steps whose last one is such a difference."""
    claim, ids = draft_v.new_uuid(), [draft_v.new_uuid() for _ in range(2)]
    place = "/t/" + draft_v.new_uuid().replace("-", "")
    return [
        [_example("create", claim="x")],
        [_example("read", request_id="x", mailbox="bad")],
        _open("+01:00", mailboxConfiguration={"expiration": {"in": DAY, "zone": "+01:00"}}),
        _open("rights", mailboxConfiguration={"accessRights": "RWDRWD",
                                              "expiration": {"in": HOUR, "zone": "Z"}}),
        _open("type", payload={"type": "AES128", "data": "x"}),
        _open("title", displayInformation=dict(DISPLAY, title="t" * 4096)),
        _open("nul", payload={"type": "AEAD_AES_128_GCM", "data": "a\0b"}),
        [{"kind": "place", "method": "POST", "path": "/t/a/b", "headers": {}}],
        [{"kind": "place", "method": "PUT", "path": place, "headers": {}, "raw": b"body"}],
        [_example("create", ids[0], claim), _example("delete", ids[1], claim),
         _example("create", ids[1], claim)],
        [_example("create", ids[0], claim), _example("update", ids[1], claim),
         _example("create", ids[1], claim)],
    ]


def play_example(index, left_target, right_target):
    """Whether the last step of that example differs, and in the way that the list says."""
    left, right = Side(left_target), Side(right_target)
    for step in examples()[index]:
        now = time.time() + left_target.offset
        seen = left.play(step, 0, now), right.play(step, 0, now)
    left.https.close()
    right.https.close()
    return not _same(*seen) and _allowance(step, left_target.open_points(), *seen) == index
