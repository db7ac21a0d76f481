"""`localprop track`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..errors import ConfigError
from ..report.folder import check_folder
from .numbers import real, whole
from .output import print_json, results
from .progress import working

if TYPE_CHECKING:
    from ..law.policy import AbstractPolicy
    from ..tracking.signals import AbstractSignal
    from ..tracking.track import Tracking

POLICIES = ("costate-reversal", "sign-flip", "hamiltonian-track", "cauchy")


def track_command(
    signal: Annotated[
        str, typer.Option(metavar="SIGNAL", help="sine, patched, or a CSV file.")
    ] = "sine",
    column: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of the file; by default the last.")
    ] = None,
    omega: Annotated[float, typer.Option(parser=real, help="Radians per unit of time.")] = 0.02,
    amplitude: Annotated[
        float | None,
        typer.Option(parser=real, help="Of the signal; by default 0.5, patched 0.6."),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(parser=real, metavar="T", help="By default six periods, or the whole file."),
    ] = None,
    neurons: Annotated[int, typer.Option(parser=whole, help="Of the complete digraph.")] = 5,
    policy: Annotated[str, typer.Option(help=", ".join(POLICIES) + ".")] = "costate-reversal",
    law: Annotated[
        str, typer.Option(help="hamiltonian, or least-action, which needs no policy.")
    ] = "hamiltonian",
    period: Annotated[
        int | None,
        typer.Option(
            parser=whole, metavar="P", help="Sign flip: steps between flips [default: 1]."
        ),
    ] = None,
    flip_omega: Annotated[
        float | None,
        typer.Option(parser=real, help="Sign flip: flip with the cosine of this frequency."),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(parser=real, metavar="R", help="Hamiltonian track: the ball, by default 2 q."),
    ] = None,
    q: Annotated[
        float | None,
        typer.Option(
            parser=real,
            help="Cost of the squared error; by default 1000, Hamiltonian track 100.",
        ),
    ] = None,
    r: Annotated[float, typer.Option(parser=real, help="Cost of the rate of the weights.")] = 0.1,
    rw: Annotated[float, typer.Option(parser=real, help="Cost of the weights.")] = 1.0,
    rx: Annotated[float, typer.Option(parser=real, help="Cost of the states.")] = 0.0,
    bias: Annotated[
        bool | None,
        typer.Option(
            help="Whether a constant input has an arc to every neuron; by default only where the "
            "state never reverses.",
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            parser=real,
            metavar="c",
            help="Of the neurons; by default 1, costate reversal infinite.",
        ),
    ] = None,
    dt: Annotated[
        float | None,
        typer.Option(
            parser=real,
            help="Of a step; by default 0.1, costate reversal 1, Hamiltonian track 0.05.",
        ),
    ] = None,
    review: Annotated[
        str, typer.Option(help="What a reversed phase reads: live, or buffer (backward).")
    ] = "live",
    seed: Annotated[int, typer.Option(parser=whole, help="One seed, one result.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the picture (PNG, SVG) here.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Track a target online with a small recurrent net, and replay its weights forward."""
    from ..tracking.track import track
    from ..tracking.tracker import LinearQuadratic, tracker

    target = _signal(signal, column, omega, amplitude, seed)
    if law not in ("hamiltonian", "least-action"):
        raise ConfigError(f"--law {law}: take hamiltonian or least-action")
    if law == "least-action" and policy != "costate-reversal":
        raise ConfigError(f"least action is causal as it stands: leave --policy {policy} away")
    if q is None:  # under the Hamiltonian track no radius was found that tracks at 1000
        q = 100.0 if policy == "hamiltonian-track" else 1000.0
    made = _policy(policy, period, flip_omega, radius, q, speed)
    how = tracker(
        None if law == "least-action" else made,
        LinearQuadratic(q, r, rw, rx),
        neurons=neurons,
        speed=speed,
        dt=dt,
        bias=bias,
        review=review,
    )
    if out is not None:
        check_folder(out)
    with working(Console(stderr=True), "tracking"):
        run = track(target, how, duration=duration, seed=seed)
    files: list[Path] = []
    if out is not None:
        from ..tracking.figure import draw_tracking

        try:
            out.mkdir(parents=True, exist_ok=True)
            files = draw_tracking(out / "track", run)
        except OSError as error:
            raise ConfigError(f"--out {out}: {error.strerror}; name another folder") from error
    results(as_json).print(_table(run, files))
    if as_json:
        print_json(run.summary())


def _signal(
    signal: str, column: str | None, omega: float, amplitude: float | None, seed: int
) -> AbstractSignal:
    from ..tracking.signals import Patched, Sine, read_column

    if column is not None and signal in ("sine", "patched"):
        raise ConfigError(f"--column {column} needs --signal FILE")
    if signal == "sine":
        return Sine(omega, 0.5 if amplitude is None else amplitude)
    if signal == "patched":
        return Patched(omega, 0.6 if amplitude is None else amplitude, seed)
    if not Path(signal).suffix and not Path(signal).exists():
        raise ConfigError(f"--signal {signal}: take sine, patched, or the name of a CSV file")
    return read_column(signal, column, 0.5 if amplitude is None else amplitude)


def _policy(
    policy: str,
    period: int | None,
    flip_omega: float | None,
    radius: float | None,
    q: float,
    speed: float | None,
) -> AbstractPolicy:
    from ..law import Cauchy, CostateReversal, HamiltonianTrack, SignFlip

    if policy not in POLICIES:
        raise ConfigError(f"--policy {policy}: take one of {', '.join(POLICIES)}")
    flips = {"--period": period, "--flip-omega": flip_omega}
    owners = {**dict.fromkeys(flips, "sign-flip"), "--radius": "hamiltonian-track"}
    for name, value in {**flips, "--radius": radius}.items():
        if value is not None and owners[name] != policy:
            raise ConfigError(f"{name} belongs to --policy {owners[name]}, not to {policy}")
    if policy == "sign-flip":
        return SignFlip(period, omega=flip_omega)
    if policy == "hamiltonian-track":
        ball = 2 * q if radius is None else radius
        return HamiltonianTrack(ball, speed=1.0 if speed is None else speed)
    return Cauchy() if policy == "cauchy" else CostateReversal()


def _table(run: Tracking, files: list[Path]) -> Table:
    table = Table(title=f"{run.policy}: {run.settings['signal']}", show_header=False)
    table.title_justify = table.caption_justify = "left"
    if run.cost > run.untracked_cost:
        table.caption = "These weights, replayed forward, cost more than doing nothing."
    rows: dict[str, Any] = {
        "NRMSE, in flip time": f"{run.nrmse:.4g}",
        "NRMSE, weights replayed forward": f"{run.replayed_nrmse:.4g}",
        "cost of the replay": _cost(run.cost),
        "cost in flip time": _cost(run.flip_cost),
        "cost of doing nothing": _cost(run.untracked_cost),
        "steps": f"{run.settings['steps']:,}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    for file in files:
        table.add_row(file.suffix.lstrip("."), str(file))
    return table


def _cost(value: float) -> str:
    return f"{value:,.1f}" if value < 1e12 else f"{value:.4g}"
