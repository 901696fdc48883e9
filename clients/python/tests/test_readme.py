"""What the README shows first works as pasted."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from .server import Server

README = pathlib.Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


EXPECTED = ("hello there", "hello there", "tidy up", " COMPLETED ", "[weather: ", "turn_ended")


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_examples_work_as_pasted(shared_server: Server, number: int) -> None:
    variables = {"QUARTERDECK_ADDR": shared_server.address, "QUARTERDECK_KEY": shared_server.key}
    command = [sys.executable, "-c", BLOCKS[number]]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    assert EXPECTED[number] in done.stdout
