"""A real ejabberd on loopback, in a folder of its own, with one host and one component.

Needs root: Debian's ejabberdctl changes to the user `ejabberd`.
"""

import glob
import http.client
import json
import os
import shutil
import time

from .server_folder import Server, free_port

CONFIGURATION = """\
hosts: [{domain}]
loglevel: info
certfiles: [{both}]
listen:
  - port: {client_port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls: true
    starttls_required: true
    max_stanza_size: 262144
    shaper: none
    access: c2s
  - port: {component_port}
    ip: "127.0.0.1"
    module: ejabberd_service
    access: all
    shaper_rule: fast
    hosts: {{ "{component}": {{ password: "{secret}" }} }}
  - port: {control_port}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers: {{ /api: mod_http_api }}
api_permissions:
  tests: {{ from: mod_http_api, who: all, what: register }}
shaper_rules: {{ fast: none }}
access_rules: {{ c2s: {{ allow: all }} }}
auth_method: internal
auth_password_format: scram
modules:
  mod_adhoc: {{}}
  mod_disco: {{}}
  mod_roster: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_stream_mgmt: {{ resume_timeout: 300, resend_on_timeout: true, max_ack_queue: infinity }}
"""

# The interface is given to Erlang itself: ejabberdctl starts another Erlang to read its own setting.
CONTROL = """\
ERLANG_NODE=vestibule{port}@localhost
ERL_DIST_PORT={port}
ERL_OPTIONS="-setcookie vestibule -kernel inet_dist_use_interface {{127,0,0,1}}"
"""


class Ejabberd(Server):
    name = "ejabberd"

    def configure(self):
        self.accounts = []
        self.control_port = free_port()
        self.both = os.path.join(self.folder, "both.pem")
        with open(self.both, "w") as both:
            for path in (self.certificate, self.key):
                with open(path) as file:
                    both.write(file.read())
        values = {key: getattr(self, key) for key in dir(self) if not key.startswith("_")}
        with open(os.path.join(self.folder, "ejabberd.yml"), "w") as file:
            file.write(CONFIGURATION.format(**values))
        with open(os.path.join(self.folder, "ejabberdctl.cfg"), "w") as file:
            file.write(CONTROL.format(port=free_port()))
        for name in ("spool", "logs"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        for path in [self.folder] + [
            os.path.join(self.folder, name) for name in os.listdir(self.folder)
        ]:
            shutil.chown(path, "ejabberd", "ejabberd")

    def command(self):
        return (
            ["ejabberdctl", "--config-dir", self.folder]
            + ["--config", os.path.join(self.folder, "ejabberd.yml")]
            + ["--ctl-config", os.path.join(self.folder, "ejabberdctl.cfg")]
            + ["--logs", os.path.join(self.folder, "logs")]
            + ["--spool", os.path.join(self.folder, "spool")]
            + ["foreground"]
        )

    def start(self):
        """Its ports are open long before it accepts anybody there, so it is asked something."""
        super().start()
        try:
            self._call("GET", "/")
        except OSError:
            self._end()
            raise
        return self

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.control_port, timeout=self.start_timeout
        )
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def _is_on_disk(self, user):
        term = b"m" + len(user).to_bytes(4, "big") + user.encode()  # a binary, as Erlang writes it
        for path in glob.glob(os.path.join(self.folder, "spool", "*")):
            if os.path.basename(path).startswith(("LATEST.LOG", "PREVIOUS.LOG", "passwd.")):
                with open(path, "rb") as file:
                    if term in file.read():
                        return True
        return False

    def kill(self):
        """kill -9, but not before the accounts are on disk: Mnesia's log keeps what is new to itself
        for two seconds, and nobody could log in again."""
        limit = time.monotonic() + self.start_timeout
        while self.process and self.process.poll() is None:
            if all(self._is_on_disk(user) for user in self.accounts):
                break
            if time.monotonic() >= limit:
                raise RuntimeError("the accounts are not on disk after %d s" % self.start_timeout)
            time.sleep(0.05)
        self._end()

    def _end(self):
        super().kill()

    def stop(self):
        """It would take two seconds to write what nobody reads again."""
        self._end()

    def register(self, user, password):
        body = {"user": user, "host": self.domain, "password": password}
        status, text = self._call("POST", "/api/register", json.dumps(body))
        if status != 200:
            raise RuntimeError("the account could not be registered: %s" % text)
        self.accounts.append(user)
