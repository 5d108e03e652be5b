"""The whole of Vestibule with mail as a channel, through a real Postfix and a real Dovecot.

    with MailServers(LmtpRoute()) as servers, MailSite(build, servers) as site:
        guest = MailGuest(servers, "bob")
        share = site.create(guest.address)
        invitation = guest.wait_mail("invitation")
        guest.answer(invitation, share["code"])

How mail comes in is a small class, MailRoute: what Postfix has to do, and the channel's settings.
"""

import base64
import email.headerregistry
import email.message
import email.policy
import email.utils
import html
import os
import smtplib
import ssl
import sys

from .dovecot import Dovecot
from .postfix import Postfix
from .vestibule import URL, Site, wait_until

SENDERS = ["Zoè's Inn", "Gästehaus Größ"]
NAME = "Hotel Zürich 🏨"  # of the From of our mails
PATIENCE = 120  # seconds for what is certain to come


class MailRoute:
    """One of the ways in. Subclasses say what their entry in `receive` is."""

    name = ""
    own_lmtp = False  # whether Postfix hands mail for us to our own socket, and not to Dovecot

    def receive(self, servers):
        raise NotImplementedError

    def settings(self, servers):
        """More lines of the channel's section."""
        return []

    def credentials(self, servers):
        return {}

    def prepare(self, servers):
        """Called when the servers run, before there is a channel."""


class LmtpRoute(MailRoute):
    name = "lmtp"
    own_lmtp = True

    def receive(self, servers):
        return "lmtp:" + servers.postfix.keys_socket


class MaildirRoute(MailRoute):
    name = "maildir"

    def receive(self, servers):
        return "maildir:" + servers.dovecot.maildir("keys")

    def prepare(self, servers):
        servers.dovecot.make_maildir("keys")


class ImapRoute(MailRoute):
    name = "imap"

    def receive(self, servers):
        return "imaps://localhost:%d/INBOX" % servers.dovecot.imaps_port

    def settings(self, servers):
        return ['imap_username = "keys"', "poll_seconds = 1"]

    def credentials(self, servers):
        return {"imap-password": servers.dovecot.users["keys"]}


class MailServers:
    """Dovecot, and Postfix before it."""

    def __init__(self, route, **postfix):
        self.route = route
        self.dovecot = Dovecot()
        try:
            self.postfix = Postfix(self.dovecot, own_lmtp=route.own_lmtp, **postfix)
        except BaseException:
            self.dovecot.remove()
            raise

    def __enter__(self):
        try:
            self.dovecot.start()
            self.postfix.start()
            self.route.prepare(self)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        failed = kind is not None and issubclass(kind, Exception)
        self.postfix.remove(failed)
        self.dovecot.remove(failed)

    def ca_file(self):
        """Both certificates, for a client that speaks to both servers."""
        path = os.path.join(self.postfix.folder, "both.pem")
        with open(path, "w") as both:
            for server in (self.postfix, self.dovecot):
                with open(server.certificate) as file:
                    both.write(file.read())
        return path


class MailSite(Site):
    """A site with the channel `email`, perhaps among others, which writes as `name`. `settings` are lines of
    its section."""

    def __init__(self, build, servers, channels=("email",), settings=(), name=NAME, **options):
        self.servers, self.mail_name = servers, name
        self.mail_settings = list(settings)
        super().__init__(build, channels=channels, **options)

    def make_credentials(self):
        super().make_credentials()
        self.write_secret(base64.b64encode(os.urandom(32)), "email", "mail-key")
        self.write_secret(self.servers.dovecot.users["keys"].encode(), "email", "submit-password")
        for name, content in self.servers.route.credentials(self.servers).items():
            self.write_secret(content.encode(), "email", name)

    def start(self):
        super().start()
        try:
            self.wait_channel("email")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def configuration(self):
        """With names that need encoding."""
        names = ', '.join('"%s"' % name for name in SENDERS)
        return super().configuration().replace(
            '  name = "Hotel Adler"\n  token', '  name = "Hotel Adler"\n  names = { %s }\n  token' % names)

    def channel_section(self, name):
        if name != "email":
            return super().channel_section(name)
        route = self.servers.route
        lines = ['from = "keys@hotel.test"', 'name = "%s"' % self.mail_name,
                 'submit = "smtp://localhost:%d"' % self.servers.postfix.client_port,
                 "starttls = required", 'username = "keys"',
                 'ca_file = "%s"' % self.servers.ca_file(),
                 'receive = { "%s" }' % route.receive(self.servers),
                 'authserv_id = "mx.hotel.test"', "authentic = strong",
                 *route.settings(self.servers), *self.mail_settings,
                 self.exec_line(self.program("plugins", "email", "vestibule-email"))]
        return "channel email {\n%s}\n" % "".join("  %s\n" % line for line in lines)


def part_of(mail, subtype):
    return mail.get_body((subtype,)).get_content()


QUOTED = "Am 22.11.2026 um 12:04 schrieb Hotel Zürich 🏨:"


def reply_text(text, quoted):
    return "%s\n\n%s\n%s" % (text, QUOTED, "".join("> %s\n" % line for line in quoted.splitlines()))


def reply_page(text, quoted):
    """As programs write it that write nothing but HTML."""
    text, quoted = ("<br>\n".join(html.escape(line) for line in lines.splitlines()) for lines in (text, quoted))
    return ('<html><body dir="auto"><div>%s</div><div><br></div><div>%s</div>\n'
            '<blockquote type="cite">%s</blockquote></body></html>\n' % (text, QUOTED, quoted))


class MailGuest:
    """Somebody with a mailbox and a mail program."""

    delivery_is_reported = False  # Postfix knows only that Dovecot has taken it

    def __init__(self, servers, user="bob", domain="guests.test"):
        self.servers, self.user, self.domain = servers, user, domain
        self.mailbox = "%s@%s" % (user, domain)
        self.address = "mailto:" + self.mailbox

    def mails(self):
        return self.servers.dovecot.mails(self.user)

    def wait_mail(self, contains, timeout=PATIENCE):
        """The first mail whose text has these words; a repeated one counts once."""
        return wait_until(
            lambda: next((mail for mail in self.mails() if contains in part_of(mail, "plain")), None),
            timeout, "a mail with %r" % contains, pause=0.05)

    def urls(self):
        """All distinct URLs in what came, in every part and in the header."""
        found = set()
        for mail in self.mails():
            texts = [part_of(mail, "plain"), part_of(mail, "html"), *map(str, mail.values())]
            found.update(url.rstrip(".,)") for text in texts for url in URL.findall(text))
        return found

    def reply_to(self, mail, text, subject=None, shape=("plain", "utf-8", None)):
        """What a mail program makes of an answer: above the quotation, with the headers that thread. The
        shape is a subtype, a character set that may lack what is quoted, and a transfer encoding."""
        subtype, charset, encoding = shape
        answer = email.message.EmailMessage()
        answer["From"] = email.headerregistry.Address("Bob Müller", self.user, self.domain)
        answer["To"] = mail["Reply-To"]
        answer["Subject"] = subject or "Re: " + mail["Subject"]
        answer["Date"] = email.utils.localtime()
        answer["Message-ID"] = email.utils.make_msgid(domain="guests.test")
        answer["In-Reply-To"] = mail["Message-ID"]
        answer["References"] = " ".join(
            [*(mail["References"] or "").split(), str(mail["Message-ID"])])
        content = (reply_page if subtype == "html" else reply_text)(text, part_of(mail, "plain"))
        content = content.encode(charset, "replace").decode(charset)
        answer.set_content(content, subtype=subtype, charset=charset, cte=encoding)
        return answer

    def send(self, mail, recipient=None, vouched=True):
        """Through the border server, which vouches for it where it can; else as the submission of
        somebody with a password, of whom it says nothing."""
        recipient = recipient or email.utils.parseaddr(str(mail["To"]))[1]
        postfix = self.servers.postfix
        port = postfix.border_port if vouched else postfix.client_port
        with smtplib.SMTP("localhost", port, timeout=PATIENCE) as server:
            if not vouched:
                server.starttls(context=ssl.create_default_context(cafile=postfix.certificate))
                server.login(self.user, self.servers.dovecot.users[self.user])
            server.send_message(mail, from_addr=self.mailbox, to_addrs=[recipient])
        return mail

    def answer(self, mail, text, shape=("plain", "utf-8", None), **options):
        return self.send(self.reply_to(mail, text, shape=shape), **options)


class MailGuestElsewhere(MailGuest):
    """Somebody whose mailbox is Postfix's own, which is the only one there that may be named in UTF-8."""

    delivery_is_reported = True

    def __init__(self, servers, user):
        super().__init__(servers, user, "elsewhere.test")

    def mails(self):
        """As text, because the standard library reads no header in UTF-8 from octets."""
        return [email.message_from_string(raw.decode(), policy=email.policy.default)
                for raw in self.servers.postfix.mails_elsewhere()]
