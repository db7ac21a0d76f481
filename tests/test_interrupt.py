"""Ctrl-C: once stops after a piece and keeps all of it, also on an idle pipe; twice: at once."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import time

import pytest
from command_line import command, in_process

from localprop import checkpoint

HEAD = "a,y\n" + "".join(f"{k % 7},{'pq'[k % 2]}\n" for k in range(40))
OPTIONS = ("--target", "y", "--hidden", "3", "--json")


def started(*arguments):
    pipe = subprocess.PIPE
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    return subprocess.Popen(command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe, env=env)


def wait_for_handlers(job):
    """Waits until SIGTERM, which Python leaves alone by default, is caught."""
    while job.poll() is None:
        with open(f"/proc/{job.pid}/status") as status:
            caught = next(int(s.split()[1], 16) for s in status if s.startswith("SigCgt"))
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_idle_pipe_is_left_with_every_whole_row_learned(tmp_path, monkeypatch, capfd, number):
    path = tmp_path / "c.npz"
    job = started("learn", "-", *OPTIONS, "--checkpoint", path)
    assert job.stdin is not None
    job.stdin.write((HEAD + "3,").encode())  # the last row is half of one
    job.stdin.flush()  # and the pipe stays open
    wait_for_handlers(job)
    job.send_signal(number)
    assert job.stderr is not None
    assert b"stopping after this piece; press again to stop at once" in job.stderr.readline()
    assert job.wait(timeout=120) == 130
    err = job.stderr.read()
    job.communicate()
    assert b"go on with --resume" in err
    assert b"Traceback" not in err
    assert checkpoint.load(path).position == 40
    more = (HEAD + "3,p\n").encode()
    again = ("learn", "-", *OPTIONS, "--checkpoint", path, "--resume")
    done = in_process(monkeypatch, capfd, *again, input=more)
    assert done.result["samples"] == 41


HALF_COMPRESSED = gzip.compress(HEAD.encode(), mtime=0)[:-12]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"a,", id="half a header", marks=pytest.mark.slow),
        pytest.param(b"a,y\n", id="a header", marks=pytest.mark.slow),
        pytest.param(HALF_COMPRESSED, id="half a gzip file"),
    ],
)
def test_a_pipe_in_which_no_row_came_is_left_too(given):
    job = started("learn", "-", *OPTIONS)
    assert job.stdin is not None
    job.stdin.write(given)
    job.stdin.flush()
    wait_for_handlers(job)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=120) == 130
    err = job.communicate()[1]
    assert b"stopped" in err
    assert b"Traceback" not in err


# Signals to oneself from inside the compiler, where no Python handler can run.
WHILE_COMPILING = """
import os, signal, sys, threading, time
from localprop import cli
from localprop.online.native import NativeBank

def compile(self, *arguments, **options):
    def interrupt():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)
    threading.Thread(target=interrupt).start()
    import ctypes
    deadline = time.time() + 60
    while time.time() < deadline:
        ctypes.CDLL(None).usleep(100_000)

NativeBank.compile = compile
sys.argv = ["localprop", "learn", *sys.argv[1:]]
cli.main()
"""


def test_a_second_signal_stops_at_once_wherever_the_program_is(tmp_path):
    (tmp_path / "t.csv").write_text(HEAD)
    job = [command()[0], "-c", WHILE_COMPILING, str(tmp_path / "t.csv"), *OPTIONS]
    done = subprocess.run(job, capture_output=True, timeout=50)
    assert done.returncode == 130
    first, second = done.stderr.decode().splitlines()
    assert "press again" in first
    assert "stopped at once" in second
    assert done.stdout == b""
