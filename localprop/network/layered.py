"""A digraph whose vertices are whole blocks: layers, convolutions, any differentiable module."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..errors import GraphError, StreamError
from ..forked import refuse_lame_fork
from .activation import ACTIVATIONS, Activation
from .base import AbstractNetwork, Move
from .block import Block, concatenate, dense, linear
from .gaussian import BIAS_SCALE, split
from .levels import LONG, SENSES, SHORT, memory_blocks
from .modes import ModeBank, Modes
from .own_slopes import own_force, own_slopes, spread
from .topology import check_arcs, check_sizes, has_cycle, hops_to_outputs, hops_within_sample
from .two_way import two_way
from .uncompiled import zeros
from .weights import check_untied, plastic_arrays

INPUT = "input"


class Layered(AbstractNetwork):
    """A digraph of blocks; skip and feedback arcs are allowed.

    The state is a dictionary from the block's name to its array, the weights a dictionary from
    the block's name to its module's arrays.

    !!! example

        ```python
        >>> from functools import partial
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> from localprop import Block, Layered
        >>> conv = partial(eqx.nn.Conv2d, 1, 4, 3, stride=2)
        >>> head = partial(eqx.nn.Linear, 4 * 3 * 3, 2)
        >>> network = Layered(
        ...     {
        ...         "conv": Block(conv, ["input"], "tanh"),
        ...         "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"]),
        ...         "head": Block(head, ["flat"]),
        ...     },
        ...     inputs=(1, 8, 8),
        ...     output="head",
        ... )
        >>> x, w = network.init(jax.random.key(0))
        >>> x["conv"].shape, x["head"].shape, network.depth
        ((4, 3, 3), (2,), 3)

        ```
    """

    modules: dict[str, Any]
    plastic: dict[str, Any] | None = eqx.field(static=True)
    speed: dict[str, float] = eqx.field(static=True)
    wiring: dict[str, Block] = eqx.field(static=True)
    inputs: dict[str, tuple[int, ...]] = eqx.field(static=True)
    shapes: dict[str, tuple[int, ...]] = eqx.field(static=True)
    output_block: str = eqx.field(static=True)
    output_blocks: tuple[str, ...] | None = eqx.field(static=True)
    answer: str | None = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    streams: None = eqx.field(static=True, default=None)

    def __init__(
        self,
        blocks: Mapping[str, Block],
        *,
        inputs: tuple[int, ...] | Mapping[str, tuple[int, ...]],
        output: str | Sequence[str],
        answer: str | None = None,
    ):
        """**Arguments:**

        - `blocks`: by name.
        - `inputs`: shape of the input, named `"input"`; or the shapes of several, by name.
        - `output`: name of the output block; or of several, which have the same target, each with
          a loss of its own: the law adds them up.
        - `answer`: of several outputs, which is the network's: `"mean"`, the default, `"last"`, or
          the name of one.

        **Raises:** `GraphError`, naming the vertex, also where two blocks hold the same weights:
        each would learn its own copy.
        """
        if not isinstance(inputs, Mapping):
            inputs = {INPUT: tuple(inputs)}
        outputs = (output,) if isinstance(output, str) else tuple(output)
        self.inputs, self.output_block = dict(inputs), outputs[-1] if outputs else ""
        self.output_blocks, self.answer = None, None
        self.depth = _check_wiring(blocks, self.inputs, outputs)
        if len(outputs) > 1:
            self.output_blocks, self.answer = outputs, "mean" if answer is None else answer
            if self.answer not in ("mean", "last", *outputs):
                raise GraphError(f"answer '{answer}': take mean, last, or one of the outputs")
        elif answer is not None:
            raise GraphError(
                f"answer '{answer}' of one output alone; name several, or leave it out"
            )
        self.modules = {name: block.module for name, block in blocks.items()}
        self.wiring = {
            name: eqx.tree_at(lambda b: b.module, block, None) for name, block in blocks.items()
        }
        self.speed = {name: block.speed for name, block in blocks.items()}
        self.shapes = self._infer_shapes()
        shapes = {self.shapes[name] for name in outputs}
        if len(shapes) > 1:
            raise GraphError(f"outputs {', '.join(outputs)} have one target, but shapes {shapes}")
        plastic = {name: not block.fixed and self._learns(name) for name, block in blocks.items()}
        self.plastic = None if all(free is True for free in plastic.values()) else plastic
        ready = {n: m for n, m in self.modules.items() if _is_ready(m)}
        check_untied(eqx.filter(ready, eqx.is_inexact_array), self.plastic)

    @classmethod
    def dense(
        cls,
        sizes: Sequence[int],
        *,
        activation: str | Activation = "tanh",
        output_activation: str | Activation = "identity",
        speed: float = np.inf,
        output_scale: float = 1.0,
        bias_scale: float = BIAS_SCALE,
    ) -> Layered:
        """A feed-forward net of dense layers, the last named `"output"`.

        **Arguments:** `sizes`: of the input, the hidden layers, the output; `output_scale`:
        standard deviation of the output layer's initial weights, times √fan-in;
        `bias_scale`: of the hidden layers' initial biases, so that their neurons bend in different
        places from the start. Without biases an odd activation makes an odd network, which is
        blind to every product of two inputs until biases have been learned
        (benchmarks/defaults.md).
        """
        check_sizes(sizes)
        names = [INPUT] + [f"hidden{k}" for k in range(1, len(sizes) - 1)] + ["output"]
        blocks = {}
        for k in range(1, len(sizes)):
            last = k == len(sizes) - 1
            first = {"scale": output_scale} if last else {"bias_scale": bias_scale}
            make = eqx.Partial(dense, sizes[k - 1], sizes[k], **first)
            sigma = output_activation if last else activation
            blocks[names[k]] = Block(make, [names[k - 1]], sigma, speed)
        return cls(blocks, inputs=(sizes[0],), output="output")

    @classmethod
    def memory(
        cls,
        inputs: int,
        outputs: int,
        *,
        levels: Sequence[int] = (20, 40),
        senses: ModeBank = SENSES,
        short: ModeBank = SHORT,
        long: ModeBank = LONG,
        hidden: int = 64,
        answer: str = "mean",
        masks: bool = False,
    ) -> Layered:
        """Levels of memory, each with a readout of its own; no error crosses from level to level.

        The input feeds a bank of modes, `"senses"`. Each level, `"level1"` and so on, makes
        features (gelu) of what is below it, which feed two banks: a short one, which the next level
        reads, and a long one, which is learned and which the level's own readout reads
        (`"hidden1"`, gelu, and `"readout1"`). A level reads what the one below it held before.

        It wants `Hamiltonian(traces=Traces())` and `Learner(clock="sample", duration=1.0, hops=7,
        settle=6)`: times are in units of a sample then, and seven hops take the input to every
        readout and its error back.

        **Arguments:**

        - `inputs`, `outputs`: how many.
        - `levels`: features of each.
        - `senses`, `short`, `long`: the banks.
        - `hidden`: neurons of each readout.
        - `answer`: `"mean"` of the readouts, `"last"`, or the name of one.
        - `masks`: whether there are further inputs `"kept1"` and so on, by which readouts multiply
          what they read of their level: for dropout. All ones give the whole network.

        !!! example

            ```python
            >>> import jax
            >>> from localprop import Layered
            >>> network = Layered.memory(1, 10)
            >>> sum(a.size for a in jax.tree.leaves(network.init(jax.random.key(0))[1]))
            29928

            ```
        """
        banks = senses, short, long
        blocks, masked = memory_blocks(
            inputs, outputs, levels, banks, hidden=hidden, masks=masks, source=INPUT
        )
        names = [f"readout{k}" for k in range(1, len(levels) + 1)]
        several = {"output": names, "answer": answer} if len(names) > 1 else {"output": names[0]}
        return cls(blocks, inputs={INPUT: (inputs,), **masked}, **several)

    def init(self, key: PRNGKeyArray) -> tuple[dict[str, Array], dict[str, PyTree]]:
        """Returns `x = 0` and the modules' own initial weights."""
        # In powers of two, which share a program; a key is the same however many there are.
        keys = split(key, 1 << (len(self.modules) - 1).bit_length())
        w = {
            name: eqx.filter(_make(module, k), eqx.is_inexact_array)
            for k, (name, module) in zip(keys, self.modules.items(), strict=False)
        }
        check_untied(w, self.plastic)
        return {name: zeros(shape) for name, shape in self.shapes.items()}, w

    def drive(
        self,
        x: dict[str, Array],
        w: dict[str, PyTree],
        u: Any,
        feedback: dict[str, PyTree] | None = None,
    ) -> dict[str, Array]:
        """Returns $D$; where there are `feedback` weights, errors are pulled back by them."""
        u = self._inputs(u)
        back = dict.fromkeys(self.wiring) if feedback is None else feedback
        return {
            name: self._drive_block(name, {**u, **x}, w[name], back[name]) for name in self.wiring
        }

    def _inputs(self, u: Any) -> Mapping[str, Array]:
        u = u if isinstance(u, Mapping) else {next(iter(self.inputs)): u}
        for name, shape in self.inputs.items():
            if name not in u or u[name].shape != shape:
                given = u[name].shape if name in u else "nothing"
                raise StreamError(f"input '{name}' has shape {shape}, the sample has {given}")
        return u

    def output(self, x: dict[str, Array]) -> Array:
        if self.output_blocks is None or self.answer == "last":
            return x[self.output_block]
        if self.answer == "mean":
            return jnp.mean(jnp.stack([x[name] for name in self.output_blocks]), axis=0)
        return x[self.answer or self.output_block]

    def readouts(self, x: dict[str, Array]) -> Any:
        if self.output_blocks is None:
            return x[self.output_block]
        return {name: x[name] for name in self.output_blocks}

    def speeds(self, w: Any = None) -> dict[str, Any]:
        def of(name: str, c: Any) -> Any:
            if self._is_bank(name):
                return self._modes(name, w).speeds(len(self.shapes[name]) - 2)
            return c if isinstance(c, float) else np.array(c)

        return {name: of(name, c) for name, c in self.speed.items()}

    @property
    def learns_speeds(self) -> bool:
        return any(self._modes(name).learns for name in self.wiring if self._is_bank(name))

    def _is_bank(self, name: str) -> bool:
        """Returns whether a block is one of `Modes`."""
        return isinstance(self._skeleton(name), Modes)

    def _modes(self, name: str, w: Any = None) -> Modes:
        """Returns the modes of a block under the weights `w`, or as they begin."""
        _, frame = eqx.partition(self._skeleton(name), _is_weight)
        return frame if w is None else eqx.combine(w[name], frame)

    def _slow(self) -> dict[str, Any]:
        """Returns the speeds of the blocks that take time, as they begin."""
        return {name: c for name, c in self.speeds().items() if np.isfinite(c).any()}

    def zero_traces(self, x: dict[str, Array], w: dict[str, PyTree]) -> dict[str, PyTree] | None:
        dtype = jnp.result_type(float)
        u = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in self.inputs.items()}
        slow, traces = self._slow(), dict.fromkeys(self.wiring)
        for name in slow:
            still = lambda x, w, u, name=name: self._still(name, x, w, u)  # noqa: E731
            shapes = eqx.filter_eval_shape(still, x, w, u)
            traces[name] = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return traces if slow else None

    def _still(self, name: str, x: dict[str, Array], w: dict[str, PyTree], u: Any) -> PyTree:
        s = self._source(name, {**u, **x})
        if self._is_bank(name):
            return self._modes(name, w).zero_traces(s, x[name])
        return own_slopes(self._frame(name), self.wiring[name].activation, w[name], s)

    def advance_traces(
        self,
        trace: dict[str, PyTree],
        x: dict[str, Array],
        w: dict[str, PyTree],
        u: Any,
        move: Move,
    ) -> dict[str, PyTree]:
        sources, after = {**self._inputs(u), **x}, dict(trace)
        for name, speed in self._slow().items():
            s = self._source(name, sources)
            if self._is_bank(name):
                after[name] = self._modes(name, w).advance_traces(trace[name], x[name], s, move)
                continue
            frame, activation = self._frame(name), self.wiring[name].activation
            slopes = own_slopes(frame, activation, w[name], s)
            after[name] = _towards(frame, activation, speed, trace[name], slopes, move)
        return after

    def own_force(
        self, costate: dict[str, Array], trace: dict[str, PyTree], w: dict[str, PyTree]
    ) -> dict[str, PyTree]:
        own = dict.fromkeys(self.wiring)
        for name in self._slow():
            if self._is_bank(name):
                own[name] = self._modes(name, w).own_force(costate[name], trace[name])
            else:
                frame, activation = self._frame(name), self.wiring[name].activation
                own[name] = own_force(frame, activation, costate[name], trace[name])
        return own

    def credited(self, own: dict[str, PyTree], direct: dict[str, PyTree]) -> dict[str, PyTree]:
        slow = self._slow()
        return {name: own[name] if name in slow else force for name, force in direct.items()}

    @property
    def cyclic(self) -> bool:
        """Whether some way along the arcs leads back to where it began."""
        names = [*self.inputs, *self.wiring]
        return has_cycle(len(names), *_arcs(self.wiring, names))

    @property
    def depth_within_sample(self) -> int | None:
        """The longest way where blocks of finite speed move in a sample's first hop only; `None`
        where the others go in circles."""
        names, speeds = [*self.inputs, *self.wiring], self.speeds()
        slow = [name in speeds and bool(np.isfinite(speeds[name]).all()) for name in names]
        tails, heads = _arcs(self.wiring, names)
        return hops_within_sample(len(names), tails, heads, np.array(slow))

    def __repr__(self) -> str:
        arcs = sum(len(block.parents) for block in self.wiring.values())
        neurons = sum(math.prod(shape) for shape in self.shapes.values())
        names = self.output_blocks or (self.output_block,)
        outputs = {name: self.shapes[name] for name in names}
        return (
            f"Layered(blocks={len(self.wiring)}, neurons={neurons}, arcs={arcs}, "
            f"inputs={self.inputs}, outputs={outputs}, depth={self.depth})"
        )

    def _drive_block(
        self, name: str, sources: Mapping[str, Array], w: PyTree, feedback: PyTree = None
    ) -> Array:
        block, frame, s = self.wiring[name], self._frame(name), self._source(name, sources)
        a = _apply(frame, w, s) if feedback is None else two_way((w, feedback, s), _apply, frame)
        return block.activation(a)

    def _source(self, name: str, sources: Mapping[str, Array]) -> Array:
        """Returns what a block reads of its parents."""
        block, silent = self.wiring[name], self.wiring[name].silent or ()
        heard = (
            jax.lax.stop_gradient(sources[p]) if p in silent else sources[p] for p in block.parents
        )
        return block.join(*heard)

    def _frame(self, name: str) -> Any:
        return eqx.partition(self._skeleton(name), eqx.is_inexact_array)[1]

    def _skeleton(self, name: str) -> Any:
        """The block's module; only what is not a weight is read from it."""
        module = self.modules[name]
        if _is_ready(module):
            return module
        if _is_dense(module):
            return linear(*module.args, jnp.result_type(float))
        with contextlib.suppress(TypeError):  # a maker that holds arrays has no hash
            return _outline(module, jnp.result_type(float))
        return _outline.__wrapped__(module, None)

    def _infer_shapes(self) -> dict[str, tuple[int, ...]]:
        refuse_lame_fork()
        known = {n: b.shape for n, b in self.wiring.items() if b.shape is not None}
        dtype = jnp.result_type(float)
        waiting = list(self.wiring)
        while waiting:
            ready = [
                n
                for n in waiting
                if all(p in known or p in self.inputs for p in self.wiring[n].parents)
            ]
            if not ready:
                raise GraphError(
                    f"the shape of block '{waiting[0]}' hangs on itself through a cycle; "
                    "give Block(shape=...) for one block of the cycle"
                )
            for name in ready:
                sources = {
                    p: jax.ShapeDtypeStruct(known.get(p, self.inputs.get(p, ())), dtype)
                    for p in self.wiring[name].parents
                }
                shape = self._shape_of(name, sources)
                if known.get(name, shape) != shape:
                    raise GraphError(
                        f"block '{name}' declares shape {known[name]} but gives {shape}"
                    )
                known[name] = shape
                waiting.remove(name)
        return {name: known[name] for name in self.wiring}

    def _learns(self, name: str) -> Any:
        """Returns `True`, or which of the block's arrays are weights where some are not."""
        module = self.modules[name]
        if _is_dense(module):
            return True  # known, and spares a growing network a trace per layer
        known, dtype = {**self.inputs, **self.shapes}, jnp.result_type(float)
        sources = {p: jnp.zeros(known[p], dtype) for p in self.wiring[name].parents}
        make = lambda key: eqx.filter(_make(module, key), eqx.is_inexact_array)  # noqa: E731
        w = eqx.filter_eval_shape(make, jax.random.key(0))
        moved: Any = lambda w: self._drive_block(name, sources, w)  # noqa: E731
        if self._is_bank(name):
            axes = len(self.shapes[name]) - 2
            moved = lambda w: (  # noqa: E731
                self._drive_block(name, sources, w),
                self._modes(name, {name: w}).speeds(axes),
            )
        tree = plastic_arrays(moved, w)
        return True if all(jax.tree.leaves(tree)) else tree

    def _shape_of(self, name: str, sources: Mapping[str, Any]) -> tuple[int, ...]:
        module = self.modules[name]
        block, shapes = self.wiring[name], [a.shape for a in sources.values()]
        if _is_dense(module) and block.activation in ACTIVATIONS.values():
            size_in, size_out = module.args
            if shapes == [(size_in,)] and block.join is concatenate:
                return (size_out,)  # known, and spares a trace

        def drive(sources, key):
            w = eqx.filter(_make(self.modules[name], key), eqx.is_inexact_array)
            return self._drive_block(name, sources, w)

        try:
            return eqx.filter_eval_shape(drive, sources, jax.random.key(0)).shape
        except Exception as error:  # whatever the block's own code raises
            given = ", ".join(f"'{p}' {s.shape}" for p, s in sources.items())
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise GraphError(
                f"block '{name}' does not accept its parents {given}: {reason}"
            ) from error


@lru_cache(maxsize=256)
def _outline(maker: Any, dtype: Any) -> Any:
    """Returns the shapes of what a maker makes, and all that is not an array, in a precision."""
    del dtype  # of jax's configuration, which the shapes hang on
    # What the maker returns besides weights does not hang on the key.
    return eqx.filter_eval_shape(_make, maker, jax.random.key(0))


def _towards(
    frame: Any, activation: Activation, speed: Any, trace: PyTree, slopes: PyTree, move: Move
) -> PyTree:
    """Returns the traces of an ordinary block after a hop."""
    if isinstance(speed, float):
        return move(speed, trace, slopes)
    along = lambda f: spread(frame, activation, speed[None], f)[0]  # noqa: E731
    return jax.tree.map(lambda e, f: move(along(f), e, f), trace, slopes)


def _is_weight(leaf: Any) -> bool:
    """Returns whether a leaf is a weight, or the outline of one."""
    return eqx.is_inexact_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _apply(frame: Any, w: PyTree, s: Array) -> Array:
    return eqx.combine(w, frame)(s)


def _make(module: Any, key: PRNGKeyArray) -> Any:
    """Returns the module, made from `key` if it is not one yet."""
    return module if _is_ready(module) else module(key=key)


def _is_dense(module: Any) -> bool:
    """Returns whether it is a function that makes a layer by `dense`."""
    return isinstance(module, eqx.Partial) and module.func is dense and len(module.args) == 2


def _is_ready(module: Any) -> bool:
    """Returns whether it is a module already, and no function that makes one."""
    return isinstance(module, eqx.Module) and not isinstance(module, eqx.Partial)


def _check_wiring(
    blocks: Mapping[str, Block], inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str]
) -> int:
    """Returns the depth; raises `GraphError` for names or arcs that make no sense."""
    names = [*inputs, *blocks]
    for name in blocks:
        if name in inputs:
            raise GraphError(f"'{name}' is both an input and a block; rename one")
        speed = blocks[name].speed
        if not np.all(np.array(speed) > 0):
            raise GraphError(f"speed {speed} of block '{name}': a speed is above 0, up to infinity")
        for parent in blocks[name].silent or ():
            if parent not in blocks[name].parents:
                raise GraphError(f"silent arc '{parent}' -> '{name}' is not an arc of the block")
        for parent in blocks[name].parents:
            if parent not in names:
                raise GraphError(f"block '{name}' has the parent '{parent}', which does not exist")
    for output in outputs:
        if output not in blocks:
            raise GraphError(f"output '{output}' is not a block; blocks are {', '.join(blocks)}")
    tails, heads = _arcs(blocks, names)
    places = [names.index(output) - len(inputs) for output in outputs]
    check_arcs(names, tails, heads, len(inputs), places, bias=False)
    return hops_to_outputs(names, tails, heads, len(inputs), places)


def _arcs(blocks: Mapping[str, Block], names: Sequence[str]) -> np.ndarray:
    """Returns tails and heads of all arcs, `(2, arcs)`, as positions in `names`."""
    place = {name: k for k, name in enumerate(names)}
    arcs = [(place[p], place[name]) for name, block in blocks.items() for p in block.parents]
    return np.array(arcs, dtype=np.int64).reshape(-1, 2).T
