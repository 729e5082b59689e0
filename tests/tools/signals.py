#!/usr/bin/env python3
"""signals.py [--binary PATH] [--save FILE] [--] COMMAND [ARG]...   runs COMMAND and judges every signal that forerun sent
   signals.py [--binary PATH] --read FILE                           judges what --save kept

The kernel itself is the witness (tracefs, so: Linux and root): each fork, each exec and each signal of the whole machine
while COMMAND runs. forerun is whoever runs the file PATH (default: target/debug/forerun beside this file's project), by
its execs, whatever it is called. A process is a member if a forerun process executed something else in its place, or if
it descends, by true forks, from a process that was forerun *when it forked*: what the caller started before does not.
What forerun signals must be a member or itself, and of the same test (the last program of target/*/deps above both).

It prints how many signals of which kind, and the story of each that was not right. Exit: COMMAND's, else 1 where a
signal was wrong, else 3 where the kernel lost events, or was never asked, so that nothing is proven.
"""

import collections
import os
import re
import signal as signals
import subprocess
import sys
import tempfile
import threading
import time

BUFFER_KB = 65536  # for each CPU
THREAD = 0x10000  # CLONE_THREAD
HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS = {
    "task/task_newtask": None,
    "sched/sched_process_exec": None,
    "sched/sched_process_exit": None,
    # Sent by a process: kill, tgkill, sigqueue. What the kernel itself sends (SIGCHLD, SIGPIPE) has a code above 0.
    "signal/signal_generate": "code <= 0",
}


class Trace:
    """An instance of tracefs of our own, whose events a thread of ours copies to a file."""

    def __init__(self, file):
        self.mount = None
        base = "/sys/kernel/tracing"
        if not os.path.isdir(base + "/instances"):
            base = self.mount = tempfile.mkdtemp(prefix="forerun-signals.")
            subprocess.run(["mount", "-t", "tracefs", "none", base], check=True)
        self.folder = f"{base}/instances/forerun-{os.getpid()}"
        os.mkdir(self.folder)
        self.write("buffer_size_kb", BUFFER_KB)
        self.write("trace_clock", "mono")
        self.out = open(file, "wb")
        self.out.write(b"".join(line.encode() + b"\n" for line in snapshot()))
        for event, condition in EVENTS.items():
            if condition:
                self.write(f"events/{event}/filter", condition)
            self.write(f"events/{event}/enable", 1)
        # Those that began between the look and the first event.
        self.out.write(b"".join(line.encode() + b"\n" for line in snapshot()))
        self.pipe = os.open(self.folder + "/trace_pipe", os.O_RDONLY | os.O_NONBLOCK)
        self.ends = False
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def write(self, name, value):
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(str(value))

    def read(self):
        while True:
            ends = self.ends
            try:
                while data := os.read(self.pipe, 1 << 20):
                    self.out.write(data)
            except BlockingIOError:
                pass
            if ends:
                return
            time.sleep(0.02)

    def end(self):
        self.write("tracing_on", 0)
        self.ends = True
        self.reader.join()
        for cpu in sorted(os.listdir(self.folder + "/per_cpu")):
            with open(f"{self.folder}/per_cpu/{cpu}/stats") as file:
                for line in file:
                    if line.startswith(("overrun:", "commit overrun:", "dropped events:")) and not line.endswith(" 0\n"):
                        self.out.write(f"LOST {cpu} {line}".encode())
        self.out.close()
        os.close(self.pipe)
        os.rmdir(self.folder)
        if self.mount:
            subprocess.run(["umount", self.mount], check=True)
            os.rmdir(self.mount)


def snapshot():
    """Who is there already, as lines of the file."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parent = file.read().rsplit(")", 1)[1].split()[1]
            image = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            image, parent = "?", locals().get("parent", "0")
        yield f"THERE {pid} {parent} {image}"


class Process:
    def __init__(self, pid, parent, image, begun):
        self.pid, self.parent, self.begun, self.ended = pid, parent, begun, None
        # What it executed, and when; the first is its parent's.
        self.images = [(begun, image)]
        self.member = parent is not None and (parent.member or parent.is_forerun)
        self.is_forerun = parent is not None and parent.is_forerun
        self.test = parent.test if parent else None

    @property
    def image(self):
        return self.images[-1][1]

    def executes(self, image, when, binary):
        if image == "/proc/self/exe":
            image = self.image
        # Who was forerun and becomes something else is a server, or a child that forerun started.
        self.member = self.member or self.is_forerun
        self.is_forerun = image in binary
        self.images.append((when, image))
        if re.search(r"/target/.*/deps/[^/]+-[0-9a-f]{16}$", image):
            self.test = self

    def story(self):
        """Each line: a process and what it executed, from the target to the top."""
        process = self
        while process:
            images = " > ".join(f"{image} @{when:.6f}" for when, image in process.images)
            ended = f", ended @{process.ended:.6f}" if process.ended else ""
            yield f"pid {process.pid}{' (member)' if process.member else ''}: {images}{ended}"
            process = process.parent


LINE = re.compile(r"^\s*.*?-(\d+)\s+\[\d+\].*?(\d+\.\d+): (\w+): (.*)$")


def read(file):
    """The events in the order of their time, those that were there, and what was lost."""
    there, events, lost = {}, [], []
    with open(file, errors="replace") as lines:
        for line in lines:
            if line.startswith("THERE "):
                _, pid, parent, image = line.rstrip("\n").split(" ", 3)
                there[int(pid)] = (int(parent), image)
            elif line.startswith("LOST") or "[LOST" in line:
                lost.append(line.strip())
            elif match := LINE.match(line):
                pid, when, name, rest = match.groups()
                events.append((float(when), name, int(pid), rest))
            elif line.strip() and not line.startswith("#"):
                lost.append("not understood: " + line.strip())
    # trace_pipe mixes the CPUs nearly, not quite, in order.
    events.sort(key=lambda event: event[0])
    return there, events, lost


def field(text, name):
    return int(re.search(rf"(?:^|\s){name}=(-?\w+)", text).group(1), 0)


def judge(file, binary):
    there, events, lost = read(file)
    starts = 0
    # By thread id: all threads of a process are one.
    processes = {}

    def known(pid):
        if pid not in processes and pid in there:
            parent, image = there[pid]
            above = known(parent) if parent else None
            process = processes[pid] = Process(pid, above, image, 0.0)
            if image in binary:
                process.is_forerun = True
            if re.search(r"/target/.*/deps/[^/]+-[0-9a-f]{16}$", image):
                process.test = process
        return processes.get(pid)

    counted, wrong, senders, orphans = collections.Counter(), [], set(), 0
    for when, name, by, text in events:
        if name == "task_newtask":
            pid, flags = field(text, "pid"), int(re.search(r"clone_flags=(\w+)", text).group(1), 16)
            parent = known(by)
            orphans += parent is None and by > 2
            processes[pid] = parent if flags & THREAD else Process(pid, parent, parent.image if parent else "?", when)
        elif name == "sched_process_exec":
            pid = field(text, "pid")
            process = known(pid)
            if process is None:
                process = processes[pid] = Process(pid, None, "?", when)
            process.executes(re.search(r"filename=(.*) pid=", text).group(1), when, binary)
        elif name == "sched_process_exit":
            process = known(by)
            if process and process.pid == by:
                process.ended = when
        elif name == "signal_generate":
            sender, target = known(by), known(int(re.search(r" pid=(\d+) grp=", text).group(1)))
            if sender is None or not sender.is_forerun:
                continue
            # A timer of somebody else ends while this process runs: nobody sent that (SI_USER, SI_QUEUE and SI_TKILL are).
            if field(text, "code") not in (0, -1, -6):
                continue
            number = field(text, "sig")
            itself = sender is target
            counted[(number, itself)] += 1
            senders.add(sender)
            if itself:
                continue
            if target is None:
                wrong.append((when, number, sender, target, "a process that was never seen to begin"))
            elif target.is_forerun and target.test is sender.test and number == signals.SIGTERM:
                # A stop ends the start that is under way, which the record names.
                starts += 1
            elif not target.member:
                wrong.append((when, number, sender, target, "no member"))
            elif target.test is not sender.test:
                wrong.append((when, number, sender, target, "a member of another test's"))
    return counted, wrong, len(senders), lost, orphans, len(events), starts


def name_of(number):
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def report(file, binary):
    counted, wrong, senders, lost, orphans, events, starts = judge(file, binary)
    others = sum(count for (_, itself), count in counted.items() if not itself)
    print(f"signals of forerun to others: {others}, by {senders} processes ({events} events)")
    for itself in (False, True):
        for (number, own), count in sorted(counted.items()):
            if own is itself:
                print(f"  {name_of(number):10} {count}{' to itself' if own else ''}")
    print(f"to a start of the same test that is under way: {starts}")
    print(f"to what is no member: {len(wrong)}")
    for when, number, sender, target, why in wrong:
        print(f"\n{name_of(number)} @{when:.6f} to {why}. Sender:")
        print("".join(f"  {line}\n" for line in sender.story()), end="")
        print("Target:")
        print("".join(f"  {line}\n" for line in (target.story() if target else ["?"])), end="")
    if orphans:
        lost.append(f"{orphans} forks by processes that were never seen to begin")
    for line in lost[:20]:
        print(f"lost: {line}")
    return 1 if wrong else 3 if lost or not events else 0


def main(words):
    binary = os.path.join(HERE, "../../target/debug/forerun")
    save = load = None
    while words and words[0].startswith("--"):
        word = words.pop(0)
        if word == "--":
            break
        value = words.pop(0) if words else sys.exit(__doc__)
        if word == "--binary":
            binary = value
        elif word == "--save":
            save = value
        elif word == "--read":
            load = value
        else:
            sys.exit(__doc__)
    if bool(load) == bool(words):
        sys.exit(__doc__)
    binary = names(os.path.realpath(binary))
    if load:
        return report(load, binary)
    kept = save or tempfile.NamedTemporaryFile(prefix="forerun-signals.", delete=False).name
    trace = Trace(kept)
    try:
        code = subprocess.run(words).returncode
    finally:
        trace.end()
    # The tests make a link to it where its own path is no plain word.
    judged = report(kept, binary | links(binary))
    if not save:
        os.unlink(kept)
    return code or judged


def names(binary):
    """All paths by which it is executed: cargo's name for it beside the one that it has in deps."""
    beside = os.path.dirname(binary)
    return {binary, os.path.join(beside, "forerun")}


def links(binary):
    folder = tempfile.gettempdir()
    found = set()
    for name in os.listdir(folder):
        path = os.path.join(folder, name, "forerun")
        if name.startswith("forerun-test-programs.") and os.path.realpath(path) in binary:
            found.add(path)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
