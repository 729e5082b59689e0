"""An HTTP server whose answers take their time: web.py PORT. It says each request when it comes."""
import http.server
import os
import sys
import time

slow = [True]


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def begin(self, status, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def come(self):
        print(time.monotonic(), self.command, self.path, flush=True)

    def do_HEAD(self):
        self.come()
        self.begin(200 if self.path == "/head" else 405)

    def do_GET(self):
        self.come()
        if self.path == "/events":
            return self.events()
        if self.path == "/compiles" and slow:
            # The first answer takes long, and so does each one beside it.
            time.sleep(6)
            slow.clear()
            print("answered", flush=True)
        self.begin(405 if self.path == "/head" else 200)
        self.wfile.write(b"here")

    def events(self):
        """A stream of events that never ends. One of them comes in two halves."""
        self.begin(200, "text/event-stream")
        try:
            self.wfile.write(b"data: starting\n\n")
            while True:
                if os.path.exists("green"):
                    self.wfile.write(b"data: all gr")
                    time.sleep(0.2)
                    self.wfile.write(b"een\n\n")
                self.wfile.write(b": still here\n\n")
                time.sleep(0.05)
        except OSError:
            print("left", flush=True)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
