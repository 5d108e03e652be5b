"""What carriers report is told to a gateway that dies at the worst moments, over each carrier that waits for an
answer: it hands the report in again, and the share goes on with its next address exactly once. And what an SMS
centre still holds is cancelled there when its share has ended."""

import http.client
import os
import re
import signal
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.kannel import KannelCarrier  # noqa: E402
from harness.process import wait_for  # noqa: E402
from harness.rest_carrier import RestCarrier, callback_path  # noqa: E402
from harness.sms_carrier import SmsSite  # noqa: E402
from harness.smsc import SmppCarrier  # noqa: E402
from harness.vestibule import events_of, options_of_test  # noqa: E402

PATIENCE = 60


class Smpp(SmppCarrier):
    """Reports when it is told to."""

    def __init__(self, build):
        super().__init__(build, receipt="none")

    def fails(self, guest):
        """Reports the newest message to this guest as failed, again and again until that is taken."""
        self.smsc.sync()
        taken = [e for e in self.smsc.found("taken") if "+" + e["to"] == guest][-1]
        mark = self.smsc.mark()
        self.smsc.tell("receipt", message=taken, state="UNDELIV")
        return self.smsc.wait_event("handed", mark)["number"]

    def is_told(self, report):
        return self.smsc.is_taken(report)


class Rest(RestCarrier):
    def __init__(self, build):
        super().__init__(build)
        self.holding = True

    def fails(self, guest):
        message = next(m for m in self.store.values() if m.form["To"] == guest)
        self.report(message, "undelivered", "30005")
        return callback_path(message.form)

    def is_told(self, report):
        return any(path.endswith(report) and status == 204 for path, status in self.callbacks)


class Kannel(KannelCarrier):
    """Its own telephones cannot fail, so that the report is asked for here as smsbox asks, at the URL that is in
    Kannel's store."""

    def __init__(self, build):
        super().__init__(build)
        self.told = set()

    def start(self, attached=False):
        return super().start(attached)

    def url_of(self, guest):
        folder = os.path.join(self.folder, "spool")
        for path in [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]:
            with open(path, "rb") as file:
                content = file.read()
            found = re.search(rb"http://[^\s\0]+/dlr\?message=msg_\w+&segment=0&type=%d&text=%A", content)
            if found and guest.encode() in content:
                return found[0].decode()
        return None

    def fails(self, guest):
        url = self.wait(lambda: self.url_of(guest), "Kannel has the message")
        url = urllib.parse.urlsplit(url.replace("%d", "16").replace("%A", "stat:REJECTD"))
        threading.Thread(target=self._ask, args=(url,), daemon=True).start()
        return url

    def _ask(self, url):
        while True:
            connection = http.client.HTTPConnection(url.netloc, timeout=60)
            try:
                connection.request("GET", "%s?%s" % (url.path, url.query))
                if connection.getresponse().status == 200:
                    self.told.add(url)
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(1)  # as smsbox does

    def is_told(self, report):
        return report in self.told


class Tests:
    def __init__(self, options):
        self.build = options.build

    def invite(self, site, carrier, guest, name):
        phone = site.phone("echo:" + name)
        share = site.create("sms:" + guest, "echo:" + name)
        site.wait_state(share, "invited")
        return phone, share

    def falls_back_once(self, carrier):
        with carrier, SmsSite(self.build, carrier, channels=("sms", "echo")) as site:
            for i, moment in enumerate(("unread", "between", "durable")):
                guest = "+4915112345%d" % (670 + i)
                phone, share = self.invite(site, carrier, guest, "bob%d" % i)
                if moment == "unread":
                    os.kill(site.gateway.pid, signal.SIGSTOP)
                report = carrier.fails(guest)
                if moment == "durable":
                    phone.wait_message("invitation")
                elif moment == "unread":
                    assert not carrier.is_told(report)
                site.kill_gateway()
                if moment == "unread":
                    assert not carrier.is_told(report)
                site.start_gateway()
                wait_for(lambda: carrier.is_told(report), "the report is taken (%s)" % moment)
                site.wait_event(share, "fallback")
                site.wait(share, lambda found: events_of(found).count("invitation_accepted") == 2, "invited again")
                wait_for(lambda again=carrier.fails(guest): carrier.is_told(again), "it is taken once more")
                events = events_of(site.show(share))
                assert events.count("not_delivered") == events.count("fallback") == 1, (moment, events)
                assert len({message["message"] for message in phone.messages}) == 1, phone.messages

    @tap.test
    def over_smpp_a_report_that_nobody_took_falls_back_once(self):
        self.falls_back_once(Smpp(self.build))

    @tap.test
    def over_kannel_a_report_that_nobody_took_falls_back_once(self):
        self.falls_back_once(Kannel(self.build))

    @tap.test
    def over_a_rest_service_a_report_that_nobody_took_falls_back_once(self):
        self.falls_back_once(Rest(self.build))

    @tap.test
    def a_late_report_about_what_was_sent_before_fails_nothing(self):
        carrier = Rest(self.build)
        with carrier, SmsSite(self.build, carrier, channels=("sms", "echo")) as site:
            _, share = self.invite(site, carrier, carrier.guest, "bob")
            assert site.tenant.post("/v1/shares/%s/resend" % share["id"]).status == 202
            first, second = carrier.wait(lambda: list(carrier.store.values())[1:] and list(carrier.store.values()),
                                         "it is there twice")
            wait_for(lambda: not site.rows("SELECT 1 FROM outbox"), "the gateway knows that")
            for message, count in ((first, 0), (second, 1)):
                carrier.report(message, "undelivered", "30005")
                path = callback_path(message.form)
                carrier.wait(lambda path=path: any(at.endswith(path) and status == 204 for at, status in carrier.callbacks),
                             "the report is taken")
                assert events_of(site.show(share)).count("not_delivered") == count
            site.wait_event(share, "fallback")

    @tap.test
    def kannel_itself_tells_again_that_a_message_was_delivered(self):
        carrier = Kannel(self.build)
        with carrier, SmsSite(self.build, carrier, channels=("sms",)) as site:
            share = site.create("sms:" + carrier.guest)
            site.wait_state(share, "invited")
            os.kill(site.gateway.pid, signal.SIGSTOP)
            carrier.attach()
            carrier.wait_for_message(carrier.guest)
            site.kill_gateway()
            site.start_gateway()
            found = site.wait_event(share, "delivered")
            assert events_of(found).count("delivered") == 1

    @tap.test
    def what_the_centre_still_holds_is_cancelled_there_with_its_share(self):
        carrier = SmppCarrier(self.build, holding=True)
        with carrier, SmsSite(self.build, carrier) as site:
            # In order.
            share, taken = self.held(site, carrier)
            site.cancel(share)
            self.is_withdrawn(site, share)
            assert [e["number"] for e in carrier.smsc.found("cancelled")] == taken
            # The centre dies before it reads of it.
            mark = carrier.smsc.mark()
            share, taken = self.held(site, carrier)
            carrier.smsc.process.send_signal(signal.SIGSTOP)
            site.cancel(share)
            carrier.smsc.kill()
            carrier.smsc.start()
            self.is_withdrawn(site, share)
            assert [e["number"] for e in carrier.smsc.found("cancelled", mark)] == taken
            # It has done so, and nobody heard: then nobody says so.
            mark = carrier.smsc.mark()
            share, taken = self.held(site, carrier)
            carrier.smsc.behave(cancel_answer=False)
            site.cancel(share)
            carrier.smsc.wait_event("cancelled", mark)
            site.kill_gateway()
            carrier.smsc.behave(cancel_answer=True)
            site.start_gateway()
            carrier.smsc.wait_event("not_cancelled", mark)
            site.wait_state(share, "cancelled")
            wait_for(lambda: not site.rows("SELECT 1 FROM outbox"), "nobody is asked any more")
            assert "withdrawn" not in events_of(site.show(share))
            assert not carrier.messages(carrier.guest)

    def is_withdrawn(self, site, share):
        wait_for(lambda: "withdrawn" in events_of(site.show(share)), "it is taken back")
        site.carrier.smsc.sync()

    def held(self, site, carrier):
        """A share whose invitation the centre has; with the numbers of its parts."""
        mark = carrier.smsc.mark()
        share = site.create("sms:" + carrier.guest)
        site.wait_state(share, "invited")
        carrier.smsc.sync()
        return share, [taken["number"] for taken in carrier.smsc.found("taken", mark)]


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
