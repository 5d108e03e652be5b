"""Plays the request sequences of the test vectors against any relay and tells what it answered.

A target has `name`, `url`, `ca_file`, `advance_clock(seconds)` with the sum in `offset`, and `pushes()`:
what names the notification tokens that were used, as `push_name(token_data, mailbox)` does.
"""

import time
import urllib.parse

import client
import draft_v


class Wrong(AssertionError):
    """A relay that did not do what the scenario says."""


def _text(vectors, value, now):
    """A scenario's body with its two shorthands filled in."""
    if isinstance(value, dict):
        if set(value) == {"$payload"}:
            named = {vector["name"]: vector for vector in vectors["payload_positive"]}
            return draft_v.json_parse(named[value["$payload"]]["payload_json"].encode("utf-8"))
        return {name: _text(vectors, member, now) for name, member in value.items()}
    if value == "$NOW+48h":
        return draft_v.time_text(now + 48 * 3600)
    return value


def _payload(vectors, name):
    return _text(vectors, {"$payload": name}, 0)


def _rename_claims(value, claims):
    return claims.get(value, value)


class Player:
    """One scenario against one target. The claims are fresh, as a relay that has seen the scenario
    before would else take its first request for a duplicate."""

    def __init__(self, vectors, target):
        self.vectors = vectors
        self.target = target
        self.https = client.Https(target.url, target.ca_file)
        self.mailbox = None
        self.claims = {old: draft_v.new_uuid()
                       for old in vectors["relay_scenarios"]["claims"].values()}
        self.tokens = {}
        self.statuses = []

    def play(self, scenario):
        for number, step in enumerate(scenario["steps"], 1):
            where = "%s: %s, step %d" % (self.target.name, scenario["name"], number)
            if "advance_clock_s" in step:
                self.target.advance_clock(step["advance_clock_s"])
            else:
                self._step(step, where)
        self.https.close()
        return self.statuses

    def _step(self, step, where):
        headers = {name: _rename_claims(value, self.claims)
                   for name, value in step["headers"].items()}
        body = b""
        if "json" in step:
            now = time.time() + self.target.offset
            body = draft_v.json_bytes(_text(self.vectors, step["json"], now))
        pushes = len(self.target.pushes())
        path = step["path"].replace("{mailbox}", self.mailbox or "")
        answer = self.https.send(step["method"], path, headers, body)
        if answer is None:
            raise Wrong(where + ": no answer")
        self.statuses.append(answer.status)
        self._check(step, where, headers, answer)
        if step["op"] == draft_v.CREATE and answer.status == 200:
            self._created(where, answer)
        self._check_pushes(step, where, pushes, answer)

    def _check_pushes(self, step, where, before, answer):
        token = step.get("json", {}).get("notificationToken")
        if token and answer.status == 200:
            self.tokens[step["headers"][draft_v.DEVICE_CLAIM]] = token["tokenData"]
        if "expect_push_to" in step:
            name = self.target.push_name(self.tokens[step["expect_push_to"]], self.mailbox)
            if self.target.pushes()[before:] != [name]:
                raise Wrong(where + ": push")

    def _created(self, where, answer):
        link = draft_v.json_parse(answer.body)["urlLink"]
        port = urllib.parse.urlsplit(self.target.url).port
        parsed = draft_v.share_url_parse(link, ports=(port,), ip_literals=True)
        if not link.startswith(self.target.url + "/v1/m/"):
            raise Wrong(where + ": urlLink")
        if parsed.mailbox_id[14] != "4" or parsed.mailbox_id[19] not in "89ab":
            raise Wrong(where + ": the mailbox's id is no version 4")
        if self.mailbox:
            raise Wrong(where + ": a second mailbox")
        self.mailbox = parsed.mailbox_id

    def _check(self, step, where, headers, answer):
        allowed = step.get("expect_status_any", [step["expect_status"]])
        if answer.status not in allowed:
            raise Wrong("%s: %d instead of %s" % (where, answer.status, allowed))
        sent = headers.get(draft_v.REQUEST_ID)
        if sent is not None and answer.headers.get(draft_v.REQUEST_ID) != sent:
            raise Wrong(where + ": Mailbox-Request-ID is not echoed")
        kind = (answer.headers.get("Content-Type") or "").partition(";")[0].strip()
        if step.get("expect_content_type", kind) != kind:
            raise Wrong("%s: Content-Type %s" % (where, kind))
        if step["op"] == draft_v.READ and answer.status == 200:
            value = draft_v.json_parse(answer.body)
            expected = step.get("expect_payload")
            if expected and value["payload"] != _payload(self.vectors, expected):
                raise Wrong(where + ": payload")
            draft_v.time_parse(value["expiration"])


def play(vectors, target, scenario):
    return Player(vectors, target).play(scenario)
