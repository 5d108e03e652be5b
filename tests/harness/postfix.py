"""A real Postfix on loopback, in a folder of its own: submission with TLS and SASL by Dovecot, a local
listener without either, and what comes for us handed to a socket of ours or to Dovecot, by LMTP.

Needs root, as `postfix` does. It is also the border server that judges DMARC: it says `pass` of what
comes from guests.test through a listener of its own, and nothing of other domains.
"""

import email
import email.policy
import grp
import os
import shutil
import subprocess
import sys
import time

from .server_folder import Server, free_port, wait_for_port

# The master changes its effective user for a moment, by which the kernel forgets that it shall die with its
# parent: so it has a parent that does not.
GUARD = """
import ctypes, signal, subprocess, sys
news = {signal.SIGTERM, signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, news)
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
master = subprocess.Popen(sys.argv[1:], preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, news))
while master.poll() is None:
    if signal.sigwait(news) == signal.SIGTERM:
        master.terminate()
sys.exit(master.returncode)
"""

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.hotel.test
myorigin = hotel.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
alias_maps =
notify_classes =
smtp_dns_support_level = disabled
recipient_delimiter = +
virtual_mailbox_domains = hotel.test guests.test elsewhere.test
virtual_mailbox_maps = regexp:{folder}/mailboxes
virtual_transport = {mailboxes}
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = texthash:{folder}/transport
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl_port}
smtpd_recipient_restrictions = permit_mynetworks permit_sasl_authenticated reject_unauth_destination
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s
service_throttle_time = 1s
smtpd_client_connection_count_limit = 0
smtputf8_enable = {smtputf8}
"""

MASTER = """\
127.0.0.1:{client_port} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
127.0.0.1:{component_port} inet n - n - - smtpd
  -o mynetworks=127.0.0.0/8
127.0.0.1:{border_port} inet n - n - - smtpd
  -o smtpd_sender_restrictions=check_sender_access,regexp:{folder}/border
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n {queue_manager_wakes} 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

# What `postfix check` would make, with its modes.
QUEUE = [("data", None, 0o700), ("spool", None, 0o755), ("spool/pid", None, 0o755),
         ("spool/maildrop", "postdrop", 0o1730), ("spool/public", "postdrop", 0o710)]
QUEUE += [("spool/" + name, None, 0o700) for name in (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")]

# Whom the listeners know: `unlisted` is refused at RCPT, everybody else is taken.
MAILBOXES = "!/^unlisted@/ somebody/\n"

BORDER = "/@guests\\.test$/ PREPEND Authentication-Results: mx.hotel.test; dmarc=pass header.from=guests.test\n"


class Postfix(Server):
    """dovecot: whose mailboxes and whose passwords. With own_lmtp, mail to keys@hotel.test and its
    plus-addresses goes to the socket `keys_socket`, which somebody has to open; else to Dovecot. With
    smtputf8="no", addresses beyond ASCII are not offered; Dovecot has no mailboxes for such, so they are
    those of elsewhere.test alone."""

    name = "postfix"

    # Seconds. A mail whose delivery the queue manager takes to be still under way, as after a kill, goes back
    # to incoming/ for a minute, and there nothing but the next mail or this wakes it.
    queue_manager_wakes = 5

    def __init__(self, dovecot, folder=None, own_lmtp=False, smtputf8="yes"):
        self.sasl_port = dovecot.sasl_port
        self.mailboxes = "lmtp:inet:127.0.0.1:%d" % dovecot.component_port
        self.own_lmtp = own_lmtp
        self.smtputf8 = smtputf8
        self.border_port = free_port()
        super().__init__(folder)

    def configure(self):
        self.keys_socket = os.path.join(self.socket_folder("keys"), "lmtp")
        values = {key: getattr(self, key) for key in dir(self) if not key.startswith("_")}
        files = {"main.cf": MAIN.format(**values), "master.cf": MASTER.format(**values),
                 "mailboxes": MAILBOXES, "border": BORDER,
                 "transport": self.transport()}
        for name, content in files.items():
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(content)
        os.makedirs(os.path.join(self.folder, "mail"), exist_ok=True)
        os.chmod(os.path.join(self.folder, "mail"), 0o777)
        for name, group, mode in QUEUE:
            path = os.path.join(self.folder, name)
            os.makedirs(path, exist_ok=True)
            if mode != 0o755:
                shutil.chown(path, "postfix", group)
            os.chmod(path, mode)

    def transport(self):
        """elsewhere.test is delivered by Postfix itself, which then reports success."""
        lines = ["elsewhere.test virtual:"]
        if self.own_lmtp:
            lines.append("keys@hotel.test lmtp:unix:" + self.keys_socket)
        return "".join(line + "\n" for line in lines)

    def mails_elsewhere(self):
        """What was delivered to elsewhere.test, whoever it was for."""
        folder = os.path.join(self.folder, "mail", "somebody", "new")
        mails = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), "rb") as file:
                mails.append(file.read())
        return mails

    def run(self, *command):
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    def command(self):
        """The master itself: `postfix start` looks for ten seconds at what was just made."""
        return [sys.executable, "-c", GUARD, "/usr/lib/postfix/sbin/master", "-c", self.folder, "-d"]

    def start(self):
        super().start()
        wait_for_port(self.border_port, self.process, self.start_timeout)
        return self

    def socket_folder(self, name):
        """A folder whose sockets Postfix may use, whoever makes them there."""
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        os.chown(path, -1, grp.getgrnam("postfix").gr_gid)
        os.chmod(path, 0o2750)
        return path

    def flush(self):
        """Tries at once what waits."""
        self.run("postqueue", "-c", self.folder, "-f")

    def queue(self):
        """One line of JSON for each mail that waits."""
        return self.run("postqueue", "-c", self.folder, "-j").splitlines()

    def queued_mails(self):
        """The mails that it has and nobody else, also when it does not run."""
        found = []
        for place in ("incoming", "active", "deferred"):
            for folder, _, names in os.walk(os.path.join(self.folder, "spool", place)):
                for name in names:
                    try:
                        content = self.run("postcat", "-c", self.folder, "-b", "-h", os.path.join(folder, name))
                    except subprocess.CalledProcessError:  # not written to its end, and acknowledged to nobody
                        continue
                    found.append(email.message_from_string(content, policy=email.policy.default))
        return found

    def set(self, **settings):
        """Starts again with other settings."""
        path = os.path.join(self.folder, "main.cf")
        self.stop()
        with open(path) as file:
            lines = [line for line in file if line.partition(" ")[0] not in settings]
        with open(path, "w") as file:
            file.writelines(lines + ["%s = %s\n" % setting for setting in settings.items()])
        return self.start()

    def wait_empty(self, timeout=60):
        limit = time.monotonic() + timeout
        while self.queue():
            if time.monotonic() > limit:
                raise AssertionError("mail still waits: %s" % self.queue())
            time.sleep(0.1)

    def maillog(self):
        with open(os.path.join(self.folder, "maillog"), errors="replace") as file:
            return file.read()
