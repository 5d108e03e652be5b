"""A real ejabberd on loopback, in a folder of its own, with one host and one component.

Needs root: Debian's ejabberdctl changes to the user `ejabberd`.
"""

import http.client
import json
import os
import shutil

from .server_folder import Server, free_port, wait_for_port

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
    start_timeout = 60

    def configure(self):
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
        super().start()
        wait_for_port(self.control_port, self.process, self.start_timeout)
        return self

    def stop(self):
        """It would take two seconds to write what nobody reads again."""
        self.kill()

    def register(self, user, password):
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=20)
        body = {"user": user, "host": self.domain, "password": password}
        connection.request(
            "POST", "/api/register", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        if answer.status != 200:
            raise RuntimeError("the account could not be registered: %s" % text)
