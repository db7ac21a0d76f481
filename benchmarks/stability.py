"""Where each policy is stable on a linear plant, and what it costs there: the map of section 13.

The plant is $\\dot x = ax + w$ with the cost $\\int\\tfrac12(qx^2 + rw^2 + m\\dot w^2)\\,dt$,
run by the law itself (`localprop.reproduce.stability`); the lines of the picture are eigenvalues,
of matrices written apart (`localprop.oracle.linear_quadratic`). Everything starts from $x = 1$, all
else at rest. The *gap* is the cost over the optimum's, by Riccati's equation (SciPy); of the sign
flip, which moves the state backward half of the time, it is that of its weights replayed in the
forward network. $e^{\\theta t}$ does not weigh these costs: $\\theta$ is there as friction.

    python -m benchmarks.stability
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from localprop.oracle.linear_quadratic import growth, routh_hurwitz
from localprop.report import style
from localprop.reproduce.stability import (
    GAIN,
    HORIZON,
    RADIUS,
    WAYS,
    Problems,
    follow,
    random_problems,
)

HERE = Path(__file__).parent
POINTS, MATRICES, HOPS = 1000, 300, 4000
ACROSS, UP = 61, 41
TITLES = {
    "costate reversal": "costate reversal",
    "fast costates": f"fast costates, g = {GAIN:g}, h = {HORIZON:g}",
    "sign flip": "sign flip, replayed",
    "Hamiltonian track": "Hamiltonian track",
}
WORST = 10.0  # gap at the end of the scale


class Found(NamedTuple):
    """What a policy does on many points: factor of growth per hop by eigenvalues; whether the law
    converged, whether it stayed bounded; its gap, infinite where it did not converge."""

    growth: np.ndarray
    converged: np.ndarray
    bounded: np.ndarray
    gap: np.ndarray


def hops(name: str) -> int:
    """Returns for how many hops the law runs; the sign flip is slow."""
    return HOPS if name != "sign flip" else 5 * HOPS


def measure(name: str, problems: Problems) -> Found:
    """Lets the law run on every point."""
    points, n = problems.a.shape[:2]
    way = WAYS[name]
    start = np.zeros((points, 4 * n))
    start[:, :n] = 1 / np.sqrt(n)
    plants = [problems.plant(k) for k in range(points)]
    theta = [float(d) for d in problems.dissipation]
    cycles = [way.cycle(plant, d) for plant, d in zip(plants, theta, strict=True)]
    factor = np.array([growth(cycle) for cycle in cycles])
    out = follow(name, jax.tree.map(jnp.asarray, problems), jnp.asarray(start), hops(name))
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.linalg.norm(np.asarray(out.end), axis=1)
    cost = np.asarray(out.replayed if name == "sign flip" else out.cost)
    best = np.array([y[:n] @ p.optimum() @ y[:n] / 2 for p, y in zip(plants, start, strict=True)])
    converged = size < 0.02
    gap = np.where(converged & np.isfinite(cost), cost / best, np.inf)
    return Found(factor, converged, size**2 < 2 * RADIUS, gap)


def plane(vertical: str) -> tuple[np.ndarray, np.ndarray, Problems]:
    """Returns both axes and the points of a plane of the map: a across, θ or m upward."""
    a = np.linspace(-2, 2, ACROSS)
    b = np.linspace(0, 2, UP) if vertical == "theta" else 10 ** np.linspace(-1.5, 1.5, UP)
    across, up = (v.ravel() for v in np.meshgrid(a, b))
    one = np.ones((across.size, 1, 1))
    ones = np.ones(across.size)
    mass, theta = (ones, up) if vertical == "theta" else (up, 0 * ones)
    return a, b, Problems(across[:, None, None], one, one, mass, theta, ones)


def draw() -> tuple[Figure, list[str]]:
    """Returns the map, and a line of text per panel."""
    colours = ListedColormap([style.SILVER, "#E4E4E4", style.ORANGE])
    lines = []
    with style.applied():
        figure = Figure(figsize=(7.0, 4.0), layout="constrained")
        grid = figure.subplots(2, len(TITLES), sharex=True, sharey="row")
        shade = None
        for row, vertical in enumerate(("theta", "mass")):
            a, b, problems = plane(vertical)
            for axes, (name, title) in zip(grid[row], TITLES.items(), strict=True):
                found = measure(name, problems)
                shade = _panel(axes, a, b, found, colours)
                share = f"{100 * np.mean(found.growth < 1):.0f} %"
                where = "(a, θ), m = 1" if vertical == "theta" else "(a, m), θ = 0"
                lines.append(f"| {where} | {name} | {share} |")
                print(lines[-1], flush=True)
                axes.text(
                    *(0.97, 0.95, f"{share} {'in flip time' if name == 'sign flip' else 'stable'}"),
                    transform=axes.transAxes, ha="right", va="top", fontsize=6.5,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
                )  # fmt: skip
                if row == 0:
                    axes.set_title(title)
                else:
                    axes.set_yscale("log")
                    axes.set_xlabel("$a$ of the plant (1 / time)")
        grid[0][0].set_ylabel("dissipation $\\theta$ (1 / time), $m = 1$")
        grid[1][0].set_ylabel("mass $m$, $\\theta = 0$")
        bar = figure.colorbar(shade, ax=grid, label="cost over the optimum's", pad=0.01, aspect=35)
        bar.set_ticks([1, 2, 5, 10], labels=["1", "2", "5", "≥ 10"])
        bar.minorticks_off()
        patches = [
            Patch(color=style.SILVER, label="diverges"),
            Patch(color="#E4E4E4", label="bounded, not at rest"),
            Patch(color=style.ORANGE, label="at rest, but its weights, replayed, diverge"),
        ]
        boundary = grid[0][0].plot([], [], color=style.BLACK, label="eigenvalues: boundary")[0]
        figure.legend(
            handles=[boundary, *patches], loc="outside lower center", ncols=4, frameon=False
        )
    return figure, lines


def _panel(
    axes: Axes, a: np.ndarray, b: np.ndarray, found: Found, colours: ListedColormap
) -> object:
    shape = (len(b), len(a))
    gap, converged, bounded = (v.reshape(shape) for v in (found.gap, *found[1:3]))
    kind = np.where(converged, np.where(gap > 1e3, 2.0, np.nan), np.where(bounded, 1.0, 0.0))
    axes.pcolormesh(a, b, kind, cmap=colours, vmin=-0.5, vmax=2.5, rasterized=True)
    shown = np.where(converged & (gap <= 1e3), np.clip(gap, 1, WORST), np.nan)
    shade = axes.pcolormesh(a, b, shown, cmap="YlGnBu", norm=LogNorm(1, WORST), rasterized=True)
    rate = np.log(found.growth).reshape(shape)
    if rate.min() < 0 < rate.max():
        axes.contour(a, b, rate, levels=[0.0], colors=[style.BLACK], linewidths=0.9)
    axes.set_xticks([-2, -1, 0, 1, 2])
    return shade


def shares(name: str, problems: Problems) -> str:
    """Returns a policy's line of the table of random points."""
    found = measure(name, problems)
    a, theta = problems.a[:, 0, 0], problems.dissipation
    stable = found.growth < 1
    cells = [f"{100 * np.mean(stable[c]):.1f} %" for c in (a < 3, theta == 0, a < 0, a > 0)]
    # In so many hops the law has not decided what grows or shrinks by less than that.
    clear = np.abs(np.log(found.growth)) * hops(name) > np.log(1e4)
    cells.append(f"{np.sum((found.converged == stable)[clear])} of {clear.sum()}")
    held = stable & (a < 0)
    if len(WAYS[name].gains) == 1:
        held &= _flow_is_stable(name, problems)
    if name == "Hamiltonian track" or not held.any():  # inside its ball it is Cauchy's
        return f"| {name} | {' | '.join([*cells, *4 * ['–']])} |"
    cost, best, nothing = _costs(name, problems, held)
    middle, high = np.percentile(cost / best, [50, 90])
    saved = np.median((nothing - cost) / (nothing - best))
    cells += [f"{middle:.3f}", f"{high:.2f}", f"{100 * saved:.0f} %"]
    cells.append(f"{100 * np.mean(cost > nothing):.0f} %")
    return f"| {name} | {' | '.join(cells)} |"


def _flow_is_stable(name: str, problems: Problems) -> np.ndarray:
    way = WAYS[name]
    a, q, r = (v[:, 0, 0] for v in problems[:3])
    friction = np.array([way.friction(float(d)) for d in problems.dissipation])
    return routh_hurwitz(a, q, r, problems.mass, way.gains[0][1], friction)


def _costs(
    name: str, problems: Problems, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the costs of the policy, of the optimum and of weights at rest, where it holds."""
    way, places = WAYS[name], [int(k) for k in np.flatnonzero(held)]
    plants = [problems.plant(k) for k in places]
    best = np.array([p.optimum()[0, 0] / 2 for p in plants])
    a, q = (np.array([getattr(p, which)[0, 0] for p in plants]) for which in ("a", "q"))
    if len(way.gains) == 1:
        frictions = [way.friction(float(problems.dissipation[k])) for k in places]
        flows = [
            p.flow_cost(*way.gains[0], f)[0, 0] / 2 for p, f in zip(plants, frictions, strict=True)
        ]
        return np.array(flows), best, q / (4 * np.abs(a))
    # A replay is known in hops only; so are the weights at rest that it is compared with.
    start = np.zeros((len(held), 4))
    start[:, 0] = 1
    out = follow(name, jax.tree.map(jnp.asarray, problems), jnp.asarray(start), hops(name))
    rest = q / 2 * way.tau * (1 / (1 - (1 + way.tau * a) ** 2) - 1 / 2)
    return np.asarray(out.replayed)[held], best, rest


def matrices(name: str, problems: Problems) -> str:
    """Returns a policy's line of the table of plants of three states."""
    factor = measure(name, problems).growth
    own = np.array([np.linalg.eigvals(a).real.max() < 0 for a in problems.a])
    cells = [f"{100 * np.mean(factor[c] < 1):.0f} %" for c in (own, ~own)]
    return f"| {name} | {' | '.join(cells)} |"


TEXT = """# Where each policy is stable

{intro}

![the map](stability.png)

Black lines: eigenvalues of the hops. Colours: the law itself, at {pixels} points per panel, for
{hops} hops; q = r = c = 1. Written by `python -m benchmarks.stability`.

## Random plants

{points} plants: a in [-2, 2], q, r, m log-uniform in [0.1, 10], c in [1, 10]; every second one
without dissipation, the others with θ in [0, 4]. *Stable*: by eigenvalues of the hop. *As predicted*:
of the plants that must grow or shrink by a factor of 10⁴ while the law runs, those on which it
does. The other columns are of plants that are stable by themselves (a < 0) and that the policy brings
to rest, by Lyapunov's equation of the flow, or the law's own of replays: the gap; how much is *saved* of what the optimum saves against weights at rest (median);
and on what share weights at rest are cheaper, *worse than nothing*.

| policy | stable | … θ = 0 | … a < 0 | … a > 0 | as predicted | gap, median | gap, 90 % | saved | worse than nothing |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{shares}

The sign flip is stable in flip time only: on plants with a > 0 its weights, replayed, hold nothing.
Costate reversal without dissipation is unstable in continuous time everywhere; the few plants on
which its hops are stable owe it to the semi-implicit step of the weights. The Hamiltonian track is
Cauchy's policy inside its ball, where the origin lies.

## Plants of three states

{matrices_count} random matrices of entries in ±2/√3, Q and R with axes of their own, else as above.

| policy | stable, A stable by itself | stable, A unstable |
| --- | --- | --- |
{matrices}

## Shares of the map

| plane | policy | stable |
| --- | --- | --- |
{panels}
"""  # noqa: E501


def main() -> int:
    """Draws the map, and writes `stability.md` and `stability.png`."""
    with jax.enable_x64(True):
        rows = []
        for name in WAYS:
            rows.append(shares(name, random_problems(POINTS)))
            print(rows[-1], flush=True)
        several = [matrices(name, random_problems(MATRICES, 3)) for name in list(WAYS)[:3]]
        print("\n".join(several), flush=True)
        figure, panels = draw()
    with style.applied():
        figure.savefig(HERE / "stability.png", dpi=200)
    text = TEXT.format(
        intro=(__doc__ or "").split("\n\n", 1)[1].split("    python")[0].strip(),
        pixels=ACROSS * UP,
        hops=HOPS,
        points=POINTS,
        shares="\n".join(rows),
        matrices_count=MATRICES,
        matrices="\n".join(several),
        panels="\n".join(panels),
    )
    (HERE / "stability.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
