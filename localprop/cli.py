"""The command line: `localprop learn | predict | track | reproduce | audit`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.abc import MetaPathFinder
from typing import Any, ClassVar, NoReturn, cast

import typer
from rich.console import Console
from rich.text import Text

from . import __version__
from .commands.audit import audit_command
from .commands.learn import learn_command
from .commands.output import open_streams
from .commands.predict import predict_command
from .commands.reproduce import reproduce_command
from .commands.track import track_command
from .errors import ConfigError, LocalpropError

OBJECTS = 50_000  # new ones after which garbage is looked for; some 5 MB

app = typer.Typer(
    name="localprop",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class _Unneeded(MetaPathFinder):
    """What libraries import, where it is installed, only to ask a question of their own.

    PyArrow asks pandas whether a number is one of its own, and Numba asks SciPy whether it could
    compile linear algebra. Either takes longer than learning some hundred rows.
    """

    names: ClassVar = {"pandas"}  # and, where a command says so, SciPy

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        del path, target
        if fullname in self.names:
            raise ModuleNotFoundError(f"this command needs no {fullname}", name=fullname)


def _computing(command: Callable[..., None], *unneeded: str) -> Callable[..., None]:
    """Returns a command that finds JAX ready; help is there without it."""

    @wraps(command)
    def ready(*arguments: Any, **options: Any) -> None:
        _Unneeded.names.update(unneeded)
        from .kept_programs import keep_programs

        check_platform()
        keep_programs()
        command(*arguments, **options)

    return ready


for _name, _command in (
    ("learn", _computing(learn_command, "scipy")),
    ("predict", _computing(predict_command, "scipy")),
    ("track", _computing(track_command, "scipy")),
    ("reproduce", _computing(reproduce_command)),
    ("audit", _computing(audit_command)),
):
    app.command(_name)(_command)


def _print_version(asked: bool | None) -> None:
    if asked:
        print(f"localprop {__version__}")
        raise typer.Exit


@app.callback()
def localprop(
    version: bool | None = typer.Option(
        None, "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
) -> None:
    """Learning while the stream happens: local in space and time."""
    del version


def check_platform() -> None:
    """Raises `ConfigError` where JAX finds no device of the kind that it is told to use."""
    import jax

    try:
        jax.devices()
    except RuntimeError as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        raise ConfigError(
            f"JAX_PLATFORMS is '{asked}', and JAX finds no such device here; unset it, or set it "
            "to cpu"
            if asked
            else f"JAX finds no device to compute on ({error})"
        ) from None


# Typer has names for its leaves only; every misuse of the command line is one of these.
UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])


def run() -> None:
    """Runs the command line in a process of its own."""
    sys.meta_path.insert(0, _Unneeded())
    # Imports leave half a million objects that stay: to look for garbage among them at every 700
    # new ones, and all over once more at the end, takes a quarter of a short run.
    gc.set_threshold(OBJECTS)
    atexit.register(gc.freeze)
    main()


def main() -> None:
    """Runs the command line; the exit status is 0 done, 1 failed, 2 wrong usage."""
    open_streams()
    try:
        # Typer on its own would frame a wrong option in a box of several lines.
        sys.exit(app(prog_name="localprop", standalone_mode=False))
    except UsageError as error:
        fail_usage(error)
    except ConfigError as error:
        fail(str(error), 2)
    except LocalpropError as error:
        fail(str(error), 1)
    except OSError as error:  # standard output that cannot be written, say
        fail(f"{error.strerror or error}; free some space or write elsewhere", 1)


def fail_usage(error: Any) -> NoReturn:
    """Says in one line what is wrong with an option or an argument, and where help is."""
    if type(error).__name__ == "NoArgsIsHelpError":  # the help is printed by now
        sys.exit(2)
    problem = " ".join(error.format_message().split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else "localprop"
    fail(f"{problem[:1].lower()}{problem[1:]}; see {command} --help", 2)


def fail(message: str, status: int) -> NoReturn:
    """Prints one line on standard error and leaves."""
    # As plain text: names from a file may look like markup, or like emoji.
    line = Text.assemble(("localprop:", "bold red"), f" {' '.join(message.split())}")
    Console(stderr=True).print(line, soft_wrap=True)
    sys.exit(status)
