"""What the server costs while it is played with: resident memory and open files."""
import os
import pathlib
import threading
import time

TELL_SECS = 20


class Watch(threading.Thread):
    def __init__(self, pid, progress):
        super().__init__(daemon=True)
        self.pid, self.progress = pid, progress
        self.samples, self.over = [], threading.Event()

    def run(self):
        told = time.monotonic()
        while not self.over.wait(0.1):
            self.samples.append((self.progress(), *cost(self.pid)))
            if time.monotonic() - told > TELL_SECS:
                told = time.monotonic()
                print("%d requests, %.0f MiB, %d files" % self.samples[-1], flush=True)

    def growth(self):
        """Memory and files: medians of the second and of the last quarter of the requests. The first one fills the server."""
        most = max((done for done, _, _ in self.samples), default=0)
        quarter = lambda low: [one for one in self.samples if low * most <= one[0] <= (low + 0.25) * most]
        middle = lambda values: sorted(values)[len(values) // 2] if values else 0
        return [(middle([one[index] for one in quarter(0.25)]), middle([one[index] for one in quarter(0.75)])) for index in (1, 2)]


def cost(pid):
    """MiB and file descriptors; zeros for a dead process."""
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, ValueError):
        return 0, 0
