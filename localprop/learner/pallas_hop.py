"""Hops of a dense digraph in which every weight is read once and written once, in Pallas."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array

from ..cost import Cost
from ..law import Constant, CostateReversal, Hamiltonian, Phase
from ..law.base import output_loss
from ..network import Digraph
from ..network.activation import activate
from ..network.arcs import DenseArcs

# Of a program's tile, in weights; powers of two, as Triton wants them. Not tuned on any device.
ROWS, COLUMNS, WARPS = 8, 256, 4


def unknown_to_pallas(learner: Any) -> str | None:
    """Returns what of a learner these hops do not know, `None` where they know all of it."""
    network, law, cost = learner.network, learner.law, learner.cost
    if type(network) is not Digraph or not isinstance(network.arcs, DenseArcs):
        return "a network other than a Digraph of dense storage, of one stream"
    held = (network.frequency, network.learned, network.silent, network.plastic)
    if any(part is not None for part in held):
        return "neurons that oscillate, and arcs that are held, silent or learn speeds"
    if type(law) is not Hamiltonian or type(law.policy) is not CostateReversal:
        return "a law other than Hamiltonian(CostateReversal())"
    if type(law.mass) is not Constant or law.traces is not None or law.weights == "explicit":
        return "masses other than Constant, traces, and weights='explicit'"
    if cost.regulariser is not None or learner.review is not None or learner.clock == "sample":
        return "a regulariser of one's own, review, and clock='sample'"
    return None


def one_pass_hops(
    network: Digraph,
    cost: Cost,
    law: Hamiltonian,
    phase: Phase,
    u: Array,
    z: Array,
    tau: Any,
    times: int,
) -> Phase:
    """Returns the phase after several hops of `Hamiltonian.hop`, to rounding.

    With the activations $a = Ws$ and $c_i = \\sigma'(a_i)\\lambda_i$ of a hop, the next state is
    known before weights move, and one pass over them makes all else that a hop needs:

    $$(W^\\top c)_j, \\qquad \\pi_{ij} \\leftarrow (1 - \\theta\\tau)^+ \\pi_{ij}
      - \\tau(c_i s_j + k w_{ij}), \\qquad w_{ij} \\leftarrow w_{ij} + \\tau\\pi_{ij}/m, \\qquad
      a'_i = \\sum_j w_{ij} s'_j$$

    with $s'$ of the next state and $a'$ of the next weights. It was not measured on any GPU, so
    nothing takes it that does not ask for it; elsewhere than on a GPU it is interpreted, which is
    slow and for tests.

    **Arguments:** as for `Hamiltonian.hop`, of a learner in which nothing is
    `unknown_to_pallas`; `times`: how many hops.
    """
    mass, arcs = law.mass, network.arcs
    assert isinstance(mass, Constant)
    assert isinstance(arcs, DenseArcs)
    speeds, friction, move = network.speeds(), law.dissipation, law.integrator.step
    keep = jnp.maximum(1 - friction * tau, 0)
    numbers = jnp.stack(
        [jnp.asarray(a, phase.w.dtype) for a in (keep, tau, tau / mass.m, cost.weight_decay)]
    )
    sources = partial(network._sources, u=u)

    def hop(_: Any, carry: tuple[Phase, Array]) -> tuple[Phase, Array]:
        p, a = carry
        drive, pull = jax.vjp(lambda a: activate(network.activations, a), a)
        x, (c,) = move(speeds, p.x, drive, tau), pull(p.costate)
        given = (numbers, c, sources(p.x), sources(x))
        w, momentum, a, back = _pass(p.w, p.momentum, arcs.mask, *given)
        loss_x = jax.grad(lambda x: output_loss(network, cost, x, z))(p.x)
        error = back[-len(x) :] + loss_x
        costate = move(speeds, p.costate, error, tau, 1.0, friction)
        time = law.policy.later(p.time, tau)
        return Phase(x, costate, w, momentum, None, time, p.hop + 1), a

    start = phase, arcs.weigh(phase.w, sources(phase.x))
    return jax.lax.fori_loop(0, times, hop, start)[0]


def _pass(
    w: Array, momentum: Array, arcs: Any, numbers: Array, c: Array, s: Array, s_next: Array
) -> tuple[Array, Array, Array, Array]:
    """Returns weights and momenta after a hop, the next activations, and what $c$ sends back."""
    neurons, sources = w.shape
    blocks, width = pl.cdiv(neurons, ROWS), pl.cdiv(sources, COLUMNS) * COLUMNS
    rows = pl.BlockSpec((ROWS, width), lambda i: (i, 0))
    of_heads = pl.BlockSpec((ROWS,), lambda i: (i,))
    of_tails = pl.BlockSpec((width,), lambda i: (0,))
    masks = () if arcs is None else (jnp.asarray(arcs),)
    shape = lambda *lengths: jax.ShapeDtypeStruct(lengths, w.dtype)  # noqa: E731
    w, momentum, a, back = pl.pallas_call(
        partial(_kernel, neurons, sources),
        grid=(blocks,),
        in_specs=[
            pl.BlockSpec(numbers.shape, lambda i: (0,)),
            of_heads,
            of_tails,
            of_tails,
            rows,
            rows,
            *[rows for _ in masks],
        ],
        out_specs=[rows, rows, of_heads, pl.BlockSpec((None, width), lambda i: (i, 0))],
        out_shape=[shape(*w.shape), shape(*w.shape), shape(neurons), shape(blocks, sources)],
        input_output_aliases={4: 0, 5: 1},
        interpret=jax.default_backend() != "gpu",
        compiler_params=triton.CompilerParams(num_warps=WARPS),
        name="hop",
    )(numbers, c, s, s_next, w, momentum, *masks)
    # Blocks of rows add up in one order, whichever of them is done first.
    return w, momentum, a, jnp.sum(back, axis=0)


def _kernel(neurons: int, sources: int, *refs: Any) -> None:
    """Moves the weights of some rows, column block after column block."""
    numbers, c_of, s_of, next_of, w_of, p_of, *masks, w_out, p_out, a_out, back_out = refs
    keep, tau, rate, decay = (numbers[k] for k in range(4))
    row = pl.program_id(0) * ROWS + jnp.arange(ROWS) < neurons
    c = triton.load(c_of, mask=row, other=0.0)[:, None]

    def columns(j: Any, a: Array) -> Array:
        at = pl.ds(j * COLUMNS, COLUMNS)
        column = j * COLUMNS + jnp.arange(COLUMNS) < sources
        there = row[:, None] & column[None]
        s, s_next = (triton.load(r.at[at], mask=column, other=0.0)[None] for r in (s_of, next_of))
        w, p = (triton.load(r.at[:, at], mask=there, other=0.0) for r in (w_of, p_of))
        arc = there
        for mask in masks:
            arc = triton.load(mask.at[:, at], mask=there, other=False)
        sent = jnp.sum(jnp.where(arc, c * w, 0), axis=0)
        triton.store(back_out.at[at], sent, mask=column)
        p = keep * p - tau * (jnp.where(arc, c * s, 0) + decay * w)
        w = w + rate * p
        triton.store(w_out.at[:, at], w, mask=there)
        triton.store(p_out.at[:, at], p, mask=there)
        return a + jnp.sum(jnp.where(arc, w * s_next, 0), axis=1)

    start = jnp.zeros(ROWS, w_of.dtype)
    a = jax.lax.fori_loop(0, pl.cdiv(sources, COLUMNS), columns, start)
    triton.store(a_out, a, mask=row)
