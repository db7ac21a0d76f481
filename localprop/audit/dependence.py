"""Which numbers can a function's results depend on? A proof, read off the function's own program.

A function is traced to a list of primitive operations, and sets of labels are carried through
it: every number of every argument has a label, and every intermediate number the set of labels
that can reach it. The sets are never too small, so an absent label is a *proof* of independence
for all values of the arguments (finite ones: $0 \\cdot \\infty$ is left aside). They are kept from
being too large by three rules:

- what depends on no argument is computed, so masks and indices are known;
- a product with a known zero carries no label (an arc that is masked out);
- operations that only move or add numbers are applied to the sets themselves.

An operation that none of the rules knows mixes everything that enters it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

ELEMENTWISE = frozenset(
    """
    add sub mul div max min pow rem atan2 nextafter and or xor not neg sign floor ceil round
    exp exp2 log expm1 log1p tanh logistic sin cos tan asin acos atan sinh cosh asinh acosh
    atanh sqrt rsqrt cbrt erf erfc erf_inv integer_pow is_finite eq ne lt le gt ge select_n
    clamp abs square convert_element_type add_any copy copy_p real imag complex conj stop_gradient
    nan_to_num lgamma digamma reduce_precision
    """.split()  # noqa: SIM905
)
# Linear in their first operands; the others, if any, must be known.
MOVING = frozenset(
    """
    broadcast_in_dim reshape transpose squeeze expand_dims slice rev reduce_sum reduce_max
    reduce_min reduce_or reduce_and argmax argmin concatenate pad gather dynamic_slice
    cumsum scatter-add scatter_add reduce_window_sum copy split stack unstack
    """.split()  # noqa: SIM905
)
BILINEAR = frozenset(["dot_general", "conv_general_dilated"])
NESTED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}
RELAYOUTS = frozenset(["reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim"])
# Elementwise and not linear: what a neuron's activation, or its slope, is made by.
NONLINEAR = frozenset(
    """
    tanh logistic exp exp2 log expm1 log1p erf erf_inv erfc sin cos tan atan sinh cosh asinh acosh
    atanh sqrt rsqrt cbrt abs sign max min eq ne lt le gt ge clamp is_finite
    """.split()  # noqa: SIM905
)
REDUCTIONS = frozenset(["reduce_sum", "reduce_max", "reduce_min", "reduce_or", "reduce_and"])


class Reach(NamedTuple):
    """What is known of an intermediate array: its value or `None`, where it can be other than 0,
    and per label (first axis) where it can depend on that label, or `None` for nowhere."""

    value: Any
    nonzero: np.ndarray
    labels: np.ndarray | None


def dependence(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    labels: Sequence[Any],
    chosen: np.ndarray,
    stop: frozenset[str] = frozenset(),
) -> list[np.ndarray]:
    """Returns for every leaf of the result a boolean array `(labels, *shape)`.

    **Arguments:**

    - `function`, `arguments`: what is looked at, and arguments of the right shapes.
    - `labels`: a tree like `arguments` of integer arrays, one label per number; −1 for numbers
      that are held.
    - `chosen`: the labels to follow, `(labels,)`.
    - `stop`: primitives beyond which nothing is followed. With `NONLINEAR`, only numbers that are
      handed on as they are, or multiplied and added.

    !!! example

        ```python
        >>> import jax.numpy as jnp, numpy as np
        >>> from localprop.audit.dependence import dependence
        >>> mask = np.array([[1.0, 0.0], [1.0, 1.0]])
        >>> (reach,) = dependence(
        ...     lambda x: mask @ x, (jnp.ones(2),), (np.arange(2),), np.arange(2)
        ... )
        >>> reach.astype(int)  # label 0 reaches both, label 1 the second only
        array([[1, 1],
               [0, 1]])

        ```
    """
    closed = jax.make_jaxpr(function)(*arguments)
    flat = [np.asarray(a) for a in jax.tree.leaves(labels)]
    inputs = [
        Reach(None, np.ones(a.shape, bool), chosen.reshape(-1, *(1,) * a.ndim) == a) for a in flat
    ]
    outs = _run(closed.jaxpr, closed.consts, inputs, stop)
    blank = lambda r: np.zeros((len(chosen), *r.nonzero.shape), bool)  # noqa: E731
    return [blank(r) if r.labels is None else r.labels for r in outs]


def _known(value: Any) -> Reach:
    value = np.asarray(value) if not hasattr(value, "dtype") else value
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
        return Reach(value, np.ones(value.shape, bool), None)
    return Reach(value, np.asarray(np.asarray(value) != 0), None)


def _run(
    jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Reach], stop: frozenset[str]
) -> list[Reach]:
    known: dict[Any, Reach] = {}
    known.update(zip(jaxpr.constvars, map(_known, consts), strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))
    read = lambda v: _known(v.val) if isinstance(v, Literal) else known[v]  # noqa: E731
    for eqn in jaxpr.eqns:
        outs = _step(eqn, [read(v) for v in eqn.invars], stop)
        if eqn.primitive.name in stop:
            outs = [r._replace(labels=None) for r in outs]
        known.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _step(eqn: Any, ins: list[Reach], stop: frozenset[str]) -> list[Reach]:
    name = eqn.primitive.name
    if name in NESTED:
        inner = eqn.params[NESTED[name]]
        jaxpr, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
        return _run(jaxpr, consts, ins, stop)
    if all(r.value is not None for r in ins):
        out = eqn.primitive.bind(*(r.value for r in ins), **eqn.params)
        return [_known(o) for o in (out if eqn.primitive.multiple_results else [out])]
    shapes = [v.aval.shape for v in eqn.outvars]
    if name in ELEMENTWISE:
        return [_elementwise(name, ins, shapes[0])]
    if name in BILINEAR:
        return [_bilinear(eqn, ins)]
    if name in MOVING:
        return _moving(eqn, ins)
    return _mix(ins, shapes)


def _mix(ins: list[Reach], shapes: list[tuple[int, ...]]) -> list[Reach]:
    found = [r.labels.reshape(len(r.labels), -1).any(1) for r in ins if r.labels is not None]
    every = np.logical_or.reduce(found) if found else None
    return [
        Reach(
            None,
            np.ones(s, bool),
            None
            if every is None
            else np.broadcast_to(every.reshape(-1, *(1,) * len(s)), (len(every), *s)),
        )
        for s in shapes
    ]


def _elementwise(name: str, ins: list[Reach], shape: tuple[int, ...]) -> Reach:
    spread = lambda a, lead: np.broadcast_to(a, (*lead, *shape))  # noqa: E731
    nonzero = [spread(r.nonzero, ()) for r in ins]
    passes = [np.ones(shape, bool) for _ in ins]
    out = np.ones(shape, bool)
    if name == "mul":
        passes, out = [nonzero[1], nonzero[0]], nonzero[0] & nonzero[1]
    elif name == "div":
        passes, out = [passes[0], nonzero[0]], nonzero[0]
    elif name in ("add", "sub", "add_any"):
        out = nonzero[0] | nonzero[1]
    elif name in ("neg", "convert_element_type", "copy", "copy_p", "reduce_precision", "tanh"):
        out = nonzero[0]
    elif name == "select_n" and ins[0].value is not None:
        which = spread(np.asarray(ins[0].value).astype(int), ())
        passes = [np.zeros(shape, bool), *(which == k for k in range(len(ins) - 1))]
        out = np.logical_or.reduce([p & z for p, z in zip(passes[1:], nonzero[1:], strict=True)])
    labels = None
    for r, through in zip(ins, passes, strict=True):
        if r.labels is not None:
            lead = (len(r.labels),)
            # A scalar literal beside an array has no axes of its own.
            source = r.labels.reshape(
                *lead, *(1,) * (len(shape) - r.labels.ndim + 1), *r.labels.shape[1:]
            )
            part = spread(source, lead) & through
            labels = part if labels is None else labels | part
    return Reach(None, np.asarray(out), labels)


def _positive(a: Any) -> np.ndarray:
    return np.asarray(np.asarray(a) > 0)  # NumPy makes a scalar of what has no axes


def _indicator(eqn: Any, values: Sequence[Any]) -> list[np.ndarray]:
    """Applies the operation to numbers that are 0 or positive, and says where it gives not 0."""
    out = eqn.primitive.bind(*values, **eqn.params)
    return [_positive(o) for o in (out if eqn.primitive.multiple_results else [out])]


def _over_labels(eqn: Any, values: list[Any], axes: list[int | None]) -> list[np.ndarray]:
    run = lambda *v: eqn.primitive.bind(*v, **eqn.params)  # noqa: E731
    out = jax.vmap(run, in_axes=axes)(*values)
    return [_positive(o) for o in (out if eqn.primitive.multiple_results else [out])]


def _bilinear(eqn: Any, ins: list[Reach]) -> Reach:
    ones = [r.nonzero.astype(np.float32) for r in ins]
    # The types of the operation's own numbers do not matter here.
    eqn = eqn.replace(params={**eqn.params, "preferred_element_type": None})
    (nonzero,) = _indicator(eqn, ones)
    labels = None
    for k, r in enumerate(ins):
        if r.labels is not None:
            values: list[Any] = list(ones)
            values[k] = r.labels.astype(np.float32)
            axes: list[int | None] = [0 if j == k else None for j in range(len(ins))]
            (part,) = _over_labels(eqn, values, axes)
            labels = part if labels is None else labels | part
    return Reach(None, nonzero, labels)


def _moving(eqn: Any, ins: list[Reach]) -> list[Reach]:
    name, shapes = eqn.primitive.name, [v.aval.shape for v in eqn.outvars]
    data = _data_operands(name, len(ins))
    if name in ("argmax", "argmin") or any(
        r.value is None for k, r in enumerate(ins) if k not in data
    ):
        return _mix(ins, shapes)  # where numbers go hangs on the arguments
    if name in REDUCTIONS:
        return [_reduce(eqn, ins[0])]
    if name in RELAYOUTS:
        (r,) = ins
        labels = None if r.labels is None else _relayout(eqn, r.labels, 1)
        return [Reach(None, _relayout(eqn, r.nonzero, 0), labels)]
    # A scatter's combiner knows one type of number only.
    number = eqn.outvars[0].aval.dtype
    fixed = {k: r.value for k, r in enumerate(ins) if k not in data}
    ones = [fixed.get(k, r.nonzero.astype(number)) for k, r in enumerate(ins)]
    nonzero = _indicator(eqn, ones)
    labelled = [r for r in ins if r.labels is not None]
    if not labelled:
        return [Reach(None, z, None) for z in nonzero]
    assert labelled[0].labels is not None
    count = len(labelled[0].labels)
    blank = lambda r: np.zeros((count, *r.nonzero.shape), number)  # noqa: E731
    values = [
        fixed[k] if k in fixed else blank(r) if r.labels is None else r.labels.astype(number)
        for k, r in enumerate(ins)
    ]
    labels = _over_labels(eqn, values, [None if k in fixed else 0 for k in range(len(ins))])
    return [Reach(None, z, part) for z, part in zip(nonzero, labels, strict=True)]


def _data_operands(name: str, count: int) -> range | tuple[int, ...]:
    if name in ("concatenate", "pad", "stack"):
        return range(count)
    return (0, 2) if name in ("scatter-add", "scatter_add") else (0,)


def _relayout(eqn: Any, a: np.ndarray, lead: int) -> np.ndarray:
    """The same in NumPy, behind `lead` more axes: JAX would compile every shape."""
    front, shape = a.shape[:lead], eqn.outvars[0].aval.shape
    if eqn.primitive.name == "transpose":
        return a.transpose((*range(lead), *(p + lead for p in eqn.params["permutation"])))
    if eqn.primitive.name == "broadcast_in_dim":
        thin = [1] * len(shape)
        for size, axis in zip(a.shape[lead:], eqn.params["broadcast_dimensions"], strict=True):
            thin[axis] = size
        return np.broadcast_to(a.reshape((*front, *thin)), (*front, *shape))
    return a.reshape((*front, *shape))


def _reduce(eqn: Any, r: Reach) -> Reach:
    axes = tuple(eqn.params["axes"])
    labels = None if r.labels is None else np.asarray(r.labels.any(tuple(a + 1 for a in axes)))
    return Reach(None, np.asarray(r.nonzero.any(axes)), labels)
