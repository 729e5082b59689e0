#!/usr/bin/env python3
"""Makes docs/loop.svg from a real run: the same server under a real runit, first with the start script that most
projects have, then with forerun. Both servers are killed at the same times.

    docs/picture.py target/release/forerun               runs for twenty seconds, and writes docs/loop.svg
    docs/picture.py FORERUN --seconds 4 --out FILE       the same, shorter
    docs/picture.py FORERUN --record FILE                keeps what happened in FILE, or draws FILE where it is there

It needs runsvdir and python3. It starts nothing outside a temporary folder, and ends what it started.
"""

import argparse
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

SERVER = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *words): pass
http.server.HTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(('127.0.0.1', {port}), Handler).serve_forever()
"""
# Starts the server, waits until it answers, and exits. It never sees that the answer is the old server's.
SCRIPT = """\
#!/bin/sh
python3 server.py &
until python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=1)" 2>/dev/null
do sleep 0.1; done
exit 0
"""
FORERUN = "#!/bin/sh\nexec {forerun} --name web --health http://127.0.0.1:{port}/ -- python3 server.py\n"
RUN = "#!/bin/sh\ncd {folder} || exit 1\nexec 2>>{folder}/log\nexec {folder}/start.sh\n"


def free_port():
    """A port that no client gets by chance: those are above 32768."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def serving(port):
    """The pid of who answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=0.5) as answer:
            return int(answer.read())
    except (OSError, ValueError):
        return None


def supervised(service):
    """The pid that runit watches."""
    try:
        return int((service / "supervise/pid").read_text() or 0) or None
    except (OSError, ValueError):
        return None


def end_all(folder):
    """Kills what still runs in the folder: servers that the script left, and the script that waits for one."""
    found = True
    while found:
        found = False
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == folder and int(process.name) != os.getpid():
                    os.kill(int(process.name), signal.SIGKILL)
                    found = True
            except OSError:
                continue
        time.sleep(0.02)


class Spans:
    """Who was there, and when: a list of [pid, from, to]."""

    def __init__(self):
        self.all = []

    def see(self, pid, now):
        if pid is None:
            return
        # No pid comes back so soon: what was not seen for a moment was slow.
        if self.all and self.all[-1][0] == pid:
            self.all[-1][2] = now
        else:
            self.all.append([pid, now, now])


def run(start, port, seconds, kills):
    """Runs the server under runit, kills it at the given times, and says what was seen."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-picture.")).resolve()
    service = folder / "services/web"
    service.mkdir(parents=True)
    (folder / "server.py").write_text(SERVER.format(port=port))
    for path, text in ((folder / "start.sh", start), (service / "run", RUN)):
        path.write_text(text.format(port=port, folder=shlex.quote(str(folder))))
        path.chmod(0o755)
    # runsvdir takes no notice of a folder that has just been changed.
    hour_ago = time.time() - 3600
    os.utime(folder / "services", (hour_ago, hour_ago))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "FORERUN_STATE_DIR": str(folder / "state")}
    runit = subprocess.Popen(["runsvdir", str(folder / "services")], env=environment, cwd=folder,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched, serves, killed = Spans(), Spans(), []
    begun = time.monotonic()
    stop = threading.Event()

    def look(spans, who):
        while not stop.is_set():
            spans.see(who(), time.monotonic() - begun)
            time.sleep(0.01)

    looks = [
        threading.Thread(target=look, args=(watched, lambda: supervised(service))),
        threading.Thread(target=look, args=(serves, lambda: serving(port))),
    ]
    for thread in looks:
        thread.start()
    try:
        for at in kills:
            time.sleep(max(0, begun + at - time.monotonic()))
            pid = serving(port)
            if pid:
                os.kill(pid, signal.SIGKILL)
                killed.append([pid, time.monotonic() - begun])
        time.sleep(max(0, begun + seconds - time.monotonic()))
        # A busy machine may need longer until something has been started twice.
        while len(watched.all) < 2 or not serves.all:
            if time.monotonic() > begun + seconds + 180:
                log = (folder / "log").read_text(errors="replace")
                raise SystemExit(f"nothing was started twice: {watched.all} {serves.all} {log[-1000:]}")
            if not killed and (pid := serving(port)):
                os.kill(pid, signal.SIGKILL)
                killed.append([pid, time.monotonic() - begun])
            time.sleep(0.05)
    finally:
        stop.set()
        for thread in looks:
            thread.join()
        subprocess.run(["sv", "force-stop", str(service)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        runit.send_signal(signal.SIGHUP)
        runit.wait()
        end_all(folder)
    log = (folder / "log").read_text(errors="replace")
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "seconds": max([seconds] + [span[2] for span in watched.all + serves.all]),
        "watched": watched.all,
        "serves": serves.all,
        "killed": killed,
        "conflicts": log.count("Address already in use"),
    }


STYLE = """
  .card { fill: #f6f8fa; stroke: #d0d7de }
  .title { fill: #1f2328; font-weight: 600; font-size: 16px }
  .text { fill: #59636e; font-size: 13px }
  .bad { fill: #cf222e } .good { fill: #1a7f37 } .idle { fill: #8c959f }
  .badtext { fill: #cf222e; font-size: 14px; font-weight: 600 }
  .goodtext { fill: #1a7f37; font-size: 14px; font-weight: 600 }
  .on { fill: #ffffff; font-size: 11px }
  .axis { stroke: #d0d7de } .kill { stroke: #9a6700; stroke-width: 1.5; stroke-dasharray: 3 3 }
  .killtext { fill: #9a6700; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .card { fill: #151b23; stroke: #3d444d }
    .title { fill: #f0f6fc } .text { fill: #9198a1 }
    .bad { fill: #da3633 } .good { fill: #238636 } .idle { fill: #656c76 }
    .badtext { fill: #f85149 } .goodtext { fill: #3fb950 }
    .axis { stroke: #3d444d } .kill { stroke: #d29922 } .killtext { fill: #d29922 }
  }
"""
WIDTH, LEFT, RIGHT = 900, 150, 28


def draw(seconds, script, forerun):
    """The picture of two runs."""
    scale = (WIDTH - LEFT - RIGHT) / seconds
    out = []

    def text(x, y, words, kind, anchor="start"):
        out.append(f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{words}</text>')

    def bars(spans, y, kind, with_pid):
        for pid, begun, ended in spans:
            x, width = LEFT + begun * scale, max((ended - begun) * scale, 3)
            out.append(f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="22" rx="4"/>')
            if with_pid and width > 62:
                text(x + width / 2, y + 15, f"pid {pid}", "on", "middle")

    def panel(y, title, summary, kind, record, watched_kind, serves_kind, label):
        out.append(f'<rect class="card" x="0.5" y="{y}" width="{WIDTH - 1}" height="176" rx="10"/>')
        text(20, y + 30, title, "title")
        text(WIDTH - 20, y + 30, summary, kind, "end")
        text(20, y + 51, label, "text")
        for _, at in record["killed"]:
            x = LEFT + at * scale
            out.append(f'<line class="kill" x1="{x:.1f}" y1="{y + 70}" x2="{x:.1f}" y2="{y + 143}"/>')
            text(x + 4, y + 79, "kill -9", "killtext")
        text(20, y + 101, "runit watches", "text")
        bars(record["watched"], y + 86, watched_kind, watched_kind == "good")
        text(20, y + 133, "the port answers", "text")
        bars(record["serves"], y + 118, serves_kind, True)
        step = 5 if seconds > 10 else 1
        for second in range(0, int(seconds) + 1, step):
            text(LEFT + second * scale, y + 164, f"{second} s", "text", "middle")

    starts = len(script["watched"])
    panel(0.5, "start.sh: start the server, wait, exit",
          f"{starts} starts, {script['conflicts']} × “Address already in use”", "badtext", script, "bad", "idle",
          "Each red bar is one start. The grey servers are not runit’s: it can neither stop them nor see them hang.")
    restarts = len(forerun["serves"]) - 1
    panel(188.5, "start.sh: exec forerun",
          f"{len(forerun['killed'])} kills, {restarts} restarts, {forerun['conflicts']} conflicts", "goodtext",
          forerun, "good", "good", "What runit watches is the server itself, with the same pid.")
    alt = f"{starts} starts by a script, {script['conflicts']} conflicts; with forerun {restarts} restarts, none"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 366" width="{WIDTH}" height="366" role="img" '
        f'aria-label="{alt}" font-family="-apple-system, BlinkMacSystemFont, \'Segoe UI\', Helvetica, Arial, '
        f'sans-serif">\n<!-- Made by docs/picture.py from a real run under runit. -->\n<style>{STYLE}</style>\n'
        + "\n".join(out) + "\n</svg>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forerun")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "loop.svg")
    parser.add_argument("--record", type=pathlib.Path)
    parser.add_argument("--ports", type=int, nargs=2, default=(free_port(), free_port()))
    args = parser.parse_args()
    if args.record and args.record.exists():
        seen = json.loads(args.record.read_text())
    else:
        kills = [args.seconds * part for part in (0.4, 0.7)]
        forerun = FORERUN.replace("{forerun}", shlex.quote(str(pathlib.Path(args.forerun).resolve())))
        seen = {"script": run(SCRIPT, args.ports[0], args.seconds, kills),
                "forerun": run(forerun, args.ports[1], args.seconds, kills)}
        if args.record:
            args.record.write_text(json.dumps(seen))
    longest = max(seen["script"]["seconds"], seen["forerun"]["seconds"])
    args.out.write_text(draw(longest, seen["script"], seen["forerun"]))


if __name__ == "__main__":
    main()
