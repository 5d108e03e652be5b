"""A modem as a carrier: ModemManager's stand-in, with telephones behind it."""

import itertools
import os

from .modem_manager import IDENTITIES, ModemManager
from .sms_carrier import SmsCarrier, Text, to_septets


NOT_DELIVERED = 0x41  # 3GPP TS 23.040 section 9.2.3.15: permanently, an incompatible destination


class Service(ModemManager):
    def __init__(self, folder, on_event):
        super().__init__(folder)
        self.tell = on_event

    def on_event(self, event):
        self.tell(event)


def parts_of(text):
    """A long text as a telephone sends it: parts, and none of them cuts a character."""
    gsm7 = to_septets(text) is not None
    size = 153 if gsm7 else 67

    def cost(character):
        return len(to_septets(character)) if gsm7 else len(character.encode("utf-16-be")) // 2

    if sum(map(cost, text)) <= (160 if gsm7 else 70):
        return [text]
    parts, left = [""], size
    for character in text:
        if cost(character) > left:
            parts.append("")
            left = size
        parts[-1] += character
        left -= cost(character)
    return parts


class ModemCarrier(SmsCarrier):
    """kill() is of ModemManager: the bus and the SIM stay. What a telephone shows comes from the SIM's
    own number."""

    driver = "modem"

    def __init__(self, build, report=0):
        super().__init__(build)
        self.report = report  # the state that is reported of what is sent, or None
        self.service = Service(os.path.join(self.folder), self._on_event)
        self.handles = ("answer-%d" % number for number in itertools.count(1))
        self.references = itertools.cycle(range(256))
        self.deleted = set()
        self.n_reports = 0

    def start(self):
        self.service.start()
        self.service.do("set", report=self.report)
        return self

    def stop(self):
        self.service.stop()

    def kill(self):
        self.service.kill()

    def victims(self):
        return {"ModemManager": self.kill_and_start}

    def settings(self):
        return {"modem": IDENTITIES[0], "sender": None, "country_code": self.sender[1:3]}

    def environment(self):
        return self.service.environment

    def _on_event(self, event):
        if event["event"] == "sent":
            self.note_copy(event["number"], None, event["text"])
            self.show(Text(event["number"], self.sender, event["text"], event["parts"], event["alphabet"]))
        elif event["event"] == "deleted":
            with self.changed:
                self.deleted.add(event["handle"])
                self.changed.notify_all()

    def answer(self, sender, text):
        parts = parts_of(text)
        if len(parts) == 1:
            return [self.service.do("receive", number=sender, text=text, handle=next(self.handles))]
        reference = next(self.references)
        return [self.service.do("receive", number=sender, text=part, handle=next(self.handles),
                                concat=[reference, len(parts), number])
                for number, part in enumerate(parts, 1)]

    def is_taken(self, handle):
        return set(handle) <= self.deleted

    def report_failure(self, to):
        """Of what was last sent to a number; the report stays on the modem until we have taken it. Returns a handle
        for is_reported()."""
        sent = self.service.events("sent", number=to)[-1]
        self.service.do("report", reference=sent["reference"], number=to, state=NOT_DELIVERED)
        self.n_reports += 1
        return self.n_reports

    def is_reported(self, handle):
        return len(self.service.events("deleted", handle="report")) >= handle
