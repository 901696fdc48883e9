"""Tests of code that asks an agent, against a real server. The echo agent answers as its directives say, without a key.

Run: python3 -m unittest (`quarterdeck` must be in PATH, or QUARTERDECK name it)
"""

import os
import subprocess
import tempfile
import unittest

from summary import AgentFailed, summary


class Server:
    """A server of this test's own: a free port, a directory that goes with it."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        program = os.environ.get("QUARTERDECK", "quarterdeck")
        self.process = subprocess.Popen(
            [program, "serve", "--no-auth", "--listen", "127.0.0.1:0", "--data-dir", self.directory.name],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().removeprefix("listening on ").strip()

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.directory.cleanup()


class SummaryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def test_an_answer_comes_back(self):
        self.assertEqual(summary(self.server.url, "three small fish"), "Sum up: three small fish")

    def test_an_agent_that_fails_is_told_apart_from_a_bad_answer(self):
        # Directives stand at the beginning of a prompt.
        with self.assertRaisesRegex(AgentFailed, "no_model_today"):
            summary(self.server.url, "a text", before="!fail=no_model_today ")

    def test_a_slow_agent_is_waited_for(self):
        text = summary(self.server.url, "slow words", before="!delay=20ms ")
        self.assertEqual(text, "Sum up: slow words")
