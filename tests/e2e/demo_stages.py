"""What the demo needs to know of a channel: its real servers, its guest, and the words for both."""

import os
import shutil
from xml.etree import ElementTree

from harness.kannel import KannelCarrier
from harness.mail_site import LmtpRoute, MailGuest, MailServers, MailSite, part_of
from harness.prosody import Prosody
from harness.sms_carrier import SmsSite
from harness.vestibule import URL, Site, wait_until
from harness.xmpp_recipient import Recipient

GUEST = "bob"
PASSWORD = "only for the demo"


class Shown:
    """A message on the guest's phone: who it is from as the phone shows it, what it says, and
    everything in it, whether shown or not."""

    def __init__(self, sender, text, raw):
        self.sender, self.text, self.raw = sender, text, raw
        self.has_link = URL.search(raw) is not None


class Stage:
    where = ""  # where the messages are
    neighbour = ""  # whom Vestibule's helper talks to
    running = ""  # what was started
    carrier_sees = ""
    needs_tag = False  # whether each answer has to begin with the share's reference

    def start(self, build, folder):
        """Starts the servers and makes the site, which is not started."""
        raise NotImplementedError

    def arrive(self):
        """The guest goes online."""

    def address(self):
        raise NotImplementedError

    def shown(self):
        """All messages so far."""
        raise NotImplementedError

    def wait(self, condition, timeout, what):
        wait_until(condition, timeout, what, pause=0.05)

    def say(self, text):
        """The guest answers the invitation. Returns a handle for is_taken()."""
        raise NotImplementedError

    def is_taken(self, handle, timeout):
        """Whether Vestibule has the answer, and has decided what it means."""
        raise NotImplementedError

    def urls(self):
        """Distinct URLs in everything that reached the guest."""
        return {url for message in self.shown() for url in URL.findall(message.raw)}

    def close(self):
        pass


class XmppStage(Stage):
    where = "in the chat"
    neighbour = "the chat server"
    running = "Prosody is running, an ordinary chat server. Our guest Bob has an account there."
    carrier_sees = "The chat server: the messages, and so the link."

    prosody = guest = None

    def start(self, build, folder):
        server = os.path.join(folder, "prosody")
        os.mkdir(server)
        self.prosody = Prosody(server)
        self.prosody.register(GUEST, PASSWORD)
        self.prosody.start()
        return Site(build, channels=("xmpp",), xmpp=self.prosody, folder=folder, limits={})

    def arrive(self):
        self.guest = Recipient(
            GUEST + "@" + self.prosody.domain, PASSWORD, "127.0.0.1",
            self.prosody.client_port, self.prosody.certificate)
        self.guest.start()

    def address(self):
        return "xmpp:%s@%s" % (GUEST, self.prosody.domain)

    def messages(self):
        return [message for message in self.guest.messages if message.body]

    def shown(self):
        return [Shown(message.nick or "Room keys", message.body,
                      ElementTree.tostring(message.element, encoding="unicode"))
                for message in self.messages()]

    def urls(self):
        return {url for message in self.guest.messages for text in message.element.itertext()
                for url in URL.findall(text)}

    def wait(self, condition, timeout, what):
        self.guest.wait(condition, timeout, what)

    def say(self, text):
        invitation = self.messages()[0]
        return self.guest.say(invitation.sender.split("/")[0], text, thread=invitation.thread)

    def is_taken(self, handle, timeout):
        try:
            return self.guest.wait_receipt(handle, timeout)
        except AssertionError:
            return False

    def close(self):
        if self.guest:
            self.guest.close()
        if self.prosody:
            self.prosody.stop()


class SmsStage(Stage):
    where = "by SMS"
    neighbour = "Kannel"
    running = ("Kannel is running, the SMS gateway that many operators use, with a small mobile network "
               "behind it. Our guest Bob has a telephone in that network.")
    carrier_sees = "Kannel, and every network in between: the messages, and so the link."
    needs_tag = True

    carrier = None

    def start(self, build, folder):
        self.carrier = KannelCarrier(build)
        self.carrier.start()
        return SmsSite(build, self.carrier, folder=folder, limits={})

    def address(self):
        return "sms:" + self.carrier.guest

    def shown(self):
        return [Shown(text.sender, text.text, text.text) for text in self.carrier.messages(self.carrier.guest)]

    def wait(self, condition, timeout, what):
        self.carrier.wait(condition, what, timeout)

    def say(self, text):
        return self.carrier.answer(self.carrier.guest, text)

    def is_taken(self, handle, timeout):
        try:
            self.carrier.wait_taken(handle, timeout)
        except AssertionError:
            return False
        return True

    def close(self):
        if self.carrier:
            self.carrier.stop()
            shutil.rmtree(self.carrier.folder, ignore_errors=True)


class EmailStage(Stage):
    where = "by mail"
    neighbour = "the mail server"
    running = ("Postfix and Dovecot are running, ordinary mail servers. Our guest Bob has a mailbox there, and "
               "mail for Vestibule is handed to it at once, by LMTP.")
    carrier_sees = "The mail servers: the messages, and so the link."

    servers = guest = None

    def start(self, build, folder):
        self.servers = MailServers(LmtpRoute())
        self.servers.__enter__()
        self.guest = MailGuest(self.servers, GUEST)
        return MailSite(build, self.servers, name="Hotel Adler", folder=folder, limits={})

    def address(self):
        return self.guest.address

    def shown(self):
        return [Shown(mail["From"].addresses[0].display_name,
                      "%s\n\n%s" % (mail["Subject"], part_of(mail, "plain").strip()),
                      "\n".join([part_of(mail, "plain"), part_of(mail, "html"), *map(str, mail.values())]))
                for mail in self.guest.mails()]

    def urls(self):
        return self.guest.urls()

    def say(self, text):
        self.guest.answer(self.guest.mails()[0], text)

    def is_taken(self, handle, timeout):
        try:
            self.servers.postfix.wait_empty(timeout)
        except AssertionError:
            return False
        return True

    def close(self):
        if self.servers:
            self.servers.__exit__(None, None, None)


STAGES = {"xmpp": XmppStage, "sms": SmsStage, "email": EmailStage}
