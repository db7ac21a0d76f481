"""Everything that can go wrong by a user's hand, each with its place and its remedy."""

from __future__ import annotations

from typing import Any


def counted(number: int, thing: str) -> str:
    """Returns, say, `1 row` or `2,000 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


class LocalpropError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(LocalpropError, ValueError):
    """A setting makes no sense, by itself or beside another one."""


class GraphError(LocalpropError):
    """The digraph cannot be run; the message names the vertex."""


class CheckpointError(LocalpropError):
    """A checkpoint cannot be written, read, or applied to this run."""


class ForkError(LocalpropError):
    """This process was forked from one in which JAX was running, and cannot compute."""


class UnsettledWarning(UserWarning):
    """A network has cycles, and no number of hops was found after which its error has arrived."""


class StreamError(LocalpropError):
    """The stream cannot be read.

    **Arguments:**

    - `problem`: what is wrong and what to do.
    - `file`: where the stream comes from.
    - `line`: line of the file (the header is line 1), or number of the sample.
    - `column`: name of the column.

    !!! example

        ```python
        >>> from localprop import StreamError
        >>> print(StreamError("holds text; name another", file="a.csv", line=7, column="t"))
        a.csv, line 7, column 't': holds text; name another

        ```
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: str | None = None,
    ):
        self.problem, self.file, self.line, self.column = problem, file, line, column
        place = [file] if file else []
        if line is not None:
            place.append(f"line {line}")
        if column is not None:
            place.append(f"column '{column}'")
        super().__init__(f"{', '.join(place)}: {problem}" if place else problem)


class DivergenceError(LocalpropError):
    """A quantity stopped being finite.

    **Arguments:**

    - `sample`: number of the sample, from 0, during which it happened.
    - `quantity`: `"x"`, `"costate"`, `"w"`, `"momentum"` or `"mass"`.
    - `remedy`: what to change.
    - `phase`: the phase before that sample, finite throughout.

    !!! example

        ```python
        >>> import jax, numpy as np
        >>> from localprop import Cost, Digraph, DivergenceError, Hamiltonian, Learner, SquaredError
        >>> network = Digraph.layered([1, 1])
        >>> learner = Learner(network, Cost(SquaredError()), Hamiltonian(mass=1e-3))
        >>> u, z = np.ones((99, 1)), np.ones((99, 1))
        >>> try:
        ...     learner.run(learner.init(jax.random.key(0)), (u, z))
        ... except DivergenceError as error:
        ...     print(error.quantity, bool(np.isfinite(error.phase.w).all()))
        w True

        ```
    """

    def __init__(self, sample: int, quantity: str, remedy: str, phase: Any = None):
        self.sample, self.quantity, self.phase = sample, quantity, phase
        super().__init__(f"{quantity} stopped being finite at sample {sample}: {remedy}")
