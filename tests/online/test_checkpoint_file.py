"""The checkpoint on the disk: nobody else's is replaced, and one run at a time writes to it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from command_line import command, in_process

from localprop import Online, checkpoint
from localprop.errors import CheckpointError
from localprop.online.checkpoint_file import CheckpointFile
from localprop.written_aside import written_aside

QUICK = ("--target", "y", "--hidden", "3", "--json")
TABLE = "a,y\n" + "".join(f"{k % 5},{'pq'[k % 2]}\n" for k in range(40))


@pytest.fixture
def learn(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "t.csv").write_text(TABLE)

    def run(*options, path="c.npz"):
        return in_process(
            monkeypatch, capfd, "learn", "t.csv", *QUICK, "--checkpoint", path, *options
        )

    return run


def test_another_runs_checkpoint_is_replaced_only_where_that_is_meant(learn, tmp_path):
    assert learn().status == 0
    before = (tmp_path / "c.npz").read_bytes()
    refused = learn()
    assert refused.status == 1
    assert "holds what another run learned; go on with it (--resume), replace it" in refused.err
    assert (tmp_path / "c.npz").read_bytes() == before
    assert learn("--overwrite", "--seed", "3").result["seed"] == 3
    assert (tmp_path / "c.npz").read_bytes() != before
    assert learn("--overwrite", "--resume").status == 2


@pytest.mark.parametrize("option", [(), ("--resume",), ("--overwrite",)])
def test_what_is_no_checkpoint_is_never_replaced(learn, tmp_path, option):
    (tmp_path / "c.npz").write_text("my notes")
    assert learn(*option).status == 1
    assert (tmp_path / "c.npz").read_text() == "my notes"


def test_a_file_that_comes_during_the_run_is_left(tmp_path):
    path = tmp_path / "c.npz"

    def save(place):
        place.write_text("by the run")

    with CheckpointFile(path, resume=False, overwrite=False) as file:
        file.write(save)
        file.write(save)  # its own
        path.unlink()
        path.write_text("somebody's")
        with pytest.raises(CheckpointError, match="another file came there during the run"):
            file.write(save)
    assert path.read_text() == "somebody's"


def test_two_runs_at_once_on_one_path_are_refused(learn, tmp_path):
    with CheckpointFile(tmp_path / "c.npz", resume=True, overwrite=False):
        refused = learn("--resume")
        assert refused.status == 1
        assert "another run is writing to it now" in refused.err
        assert learn(path="other.npz").status == 0
    assert learn("--resume").status == 0


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from localprop.online.checkpoint_file import CheckpointFile\n"
        "CheckpointFile(Path(sys.argv[1]), resume=True, overwrite=False).__enter__()\n"
        "os._exit(9)\n"
    )

    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.npz")]).returncode == 9
    with CheckpointFile(tmp_path / "c.npz", resume=True, overwrite=False) as file:
        assert file.kept is None


def test_a_symbolic_link_is_followed_and_stays(learn, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "far" / "real.npz")
    assert learn(path="link.npz").status == 0
    assert (tmp_path / "link.npz").is_symlink()
    assert Online.load(tmp_path / "far" / "real.npz").classes == ["p", "q"]
    assert learn("--resume", path="link.npz").status == 0
    assert (tmp_path / "link.npz").is_symlink()


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    prey, path = tmp_path / "prey", tmp_path / "c.npz"
    prey.write_text("precious")
    (tmp_path / f".c.npz.{os.getpid()}.partial").symlink_to(prey)
    with written_aside(path, CheckpointError) as file:
        file.write(b"new")
    assert (prey.read_text(), path.read_bytes()) == ("precious", b"new")
    assert not path.is_symlink()


def test_permissions_stay(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with written_aside(path, CheckpointError) as file:
        file.write(b"new")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [200, 243, 244, 250, 255])
def test_names_as_long_as_the_system_allows_are_written(learn, length):
    path = "c" * (length - 4) + ".npz"
    assert learn("--predictions", "p" * (length - 4) + ".csv", path=path).status == 0
    assert checkpoint.load(path).position == 40


def test_names_that_are_too_long_are_told_before_any_work(learn):
    found = learn(path="c" * 252 + ".npz")
    assert (found.status, "the name is too long" in found.err) == (1, True)
    found = learn("--predictions", "p" * 252 + ".csv")
    assert (found.status, "the name is too long" in found.err) == (2, True)


def test_a_prepared_link_in_place_of_the_spool_is_not_followed(learn, tmp_path):
    prey = tmp_path / "prey"
    prey.write_text("precious")
    (tmp_path / ".p.csv.rows").symlink_to(prey)
    assert learn("--predictions", "p.csv").status == 0
    assert prey.read_text() == "precious"


@pytest.mark.parametrize(
    "closed", ["012", *(pytest.param(k, marks=pytest.mark.slow) for k in ("0", "1", "2", "12"))]
)
def test_closed_standard_streams_cost_nothing(tmp_path, closed):

    (tmp_path / "t.csv").write_text(TABLE)
    words = " ".join(f"'{word}'" for word in command("learn", "t.csv", *QUICK[:-1]))
    line = f"{words} --checkpoint c.npz --out report " + " ".join(f"{n}>&-" for n in closed)
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert Online.load(tmp_path / "c.npz").rows == 40
    assert (tmp_path / "report/learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(k, marks=pytest.mark.slow) for k in ("latin-1", "utf-16"))]
)
def test_names_are_spelled_out_where_the_terminal_lacks_them(tmp_path, encoding):
    (tmp_path / "t.csv").write_text(TABLE.replace("a,y", "größe 日本,y"), encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C", "JAX_PLATFORMS": "cpu"}

    done = subprocess.run(
        command("learn", "t.csv", *QUICK[:-1], "--predictions", "-"),
        cwd=tmp_path,
        env=env,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("utf-8").startswith("line,prediction,truth,p(p),p(q)\n")


@pytest.mark.parametrize(
    "options",
    [
        QUICK[:-1],
        pytest.param(QUICK, marks=pytest.mark.slow),  # see the next
        # `test_a_reader_that_leaves_is_no_error` is the quick one
        pytest.param((*QUICK[:-1], "--predictions", "-"), marks=pytest.mark.slow),
    ],
    ids=["table", "object", "predictions"],
)
def test_a_pipe_that_breaks_is_no_error(tmp_path, options):
    (tmp_path / "t.csv").write_text(TABLE)
    words = " ".join(f"'{word}'" for word in command("learn", "t.csv", *options))
    line = f"set -o pipefail; {words} | true"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_an_object_that_nobody_reads_is_no_error(learn, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        done = learn()
        monkeypatch.undo()
    assert (done.status, "Traceback" in done.err) == (0, False), done.err


def test_an_unknown_platform_is_told(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)

    done = subprocess.run(
        command("learn", "t.csv", *QUICK),
        cwd=tmp_path,
        env={**os.environ, "JAX_PLATFORMS": "abacus"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "JAX_PLATFORMS is 'abacus'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_that_cannot_be_written_costs_no_score(learn, tmp_path, monkeypatch):
    import localprop.report.folder as folder

    def full(*_, **__):
        raise folder.ConfigError("report: No space left on device")

    monkeypatch.setattr("localprop.report.learning_curve.draw_learning_curve", full)
    found = learn("--out", "report")
    assert found.status == 2
    assert found.result["samples"] == 40
    assert "No space left" in found.err
