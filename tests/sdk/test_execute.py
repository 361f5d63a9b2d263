"""`aws ecs execute-command` with the session-manager-plugin, on a terminal as a person has it."""
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

from harness import AWS2, Case, needs

WAITING = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


class Terminal:
    """A program on a pseudo terminal."""

    def __init__(self, words, environment):
        self.keyboard, terminal = pty.openpty()
        self.process = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
                                        start_new_session=True, preexec_fn=self.control)
        os.close(terminal)
        self.said = ""

    @staticmethod
    def control():
        """Makes the terminal the controlling one, so that keys make signals."""
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def type(self, text):
        os.write(self.keyboard, text.encode())

    def hear(self, pattern, seconds=30):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.said):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.keyboard], [], [], left)[0]:
                raise AssertionError(f"not within {seconds} s: {pattern!r} in {self.said!r}")
            try:
                self.said += os.read(self.keyboard, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"ended before {pattern!r}: {self.said!r}") from None

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.keyboard)


class Execute(Case):
    def test_the_cli_opens_a_terminal_in_a_container(self):
        needs(self, "session-manager-plugin")
        definition = self.register({"name": "main", "image": self.image(), "command": ["sh", "-c", WAITING]})
        arn = self.run_one(definition, enableExecuteCommand=True)
        self.wait(arn, "RUNNING")
        words = [AWS2, "ecs", "execute-command", "--task", arn, "--container", "main", "--interactive", "--command", "sh"]
        terminal = Terminal(words, self.server.environment())
        self.addCleanup(terminal.close)
        terminal.hear("#")
        terminal.type("echo $((6 * 7)) by $(id -u)\n")
        terminal.hear("42 by 0")
        # What speaks is the job that the keys are for: the shell itself would speak before it has started one.
        terminal.type("sh -c 'echo asl\"\"eep; exec sleep 1000'\n")
        terminal.hear("asleep")
        terminal.type("\x03")
        terminal.hear(r"\^C")
        terminal.type("seq 1 5000 | tail -n 1000; echo the e''nd\n")
        terminal.hear(r"4999\s+5000\s+the end")
        terminal.type("exit\n")
        terminal.hear("Exiting session")
        self.assertEqual(terminal.process.wait(timeout=20), 0)
