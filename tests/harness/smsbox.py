"""Kannel's smsbox as a double, for what no real one can be made to do: it answers as it is told to, and knows the
connections that requests came over."""

import http.server
import socket
import threading


class Smsbox(http.server.ThreadingHTTPServer):
    """Answers what `decide(part)` says, a status or None for a cut; part is the number of the segment in its
    header, or 1."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, decide):
        self.decide, self.taken = decide, []
        self.texts = []  # the bodies of what was taken, in their order
        self.accepted = 0  # connections so far
        self.connections = set()  # those that neither side has ended
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), SmsboxHandler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, part, text):
        with self.changed:
            self.taken.append(part)
            self.texts.append(text)
            self.changed.notify_all()

    def end_connections(self):
        """As a server does with those that were idle for a while; the other side has been told when this returns."""
        with self.changed:
            for connection in self.connections:
                connection.shutdown(socket.SHUT_RDWR)
            self.connections.clear()

    def close(self):
        self.shutdown()
        self.server_close()


class SmsboxHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def setup(self):
        super().setup()
        with self.server.changed:
            self.server.accepted += 1
            self.server.connections.add(self.connection)

    def finish(self):
        with self.server.changed:
            self.server.connections.discard(self.connection)
        super().finish()

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        status = 400
        if self.headers["X-Kannel-To"]:  # else nobody: whether we are there
            part = int((self.headers["X-Kannel-UDH"] or "01")[-2:], 16)
            status = self.server.decide(part)
            if status in (None, 202):
                self.server.take(part, text)
        if status is None:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
