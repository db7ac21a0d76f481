"""Why a wrong change to the code survives its tests; see `__main__.py`.

By name: "module: line as it is -> as changed". What begins with "Equivalent" computes the same.
"""

STATIC = "Equivalent: what is no array is compiled in, as a static field or as a leaf."
STRICT = "Equivalent: the lengths are equal by construction; `strict` would tell a mistake of ours."
SHAPES = "Equivalent: of what the key draws only shapes are read."
SAME_LENGTH = "Equivalent: tails and heads are as many."

EXPLAINED: dict[str, str] = {
    "learner/presentation.py: duration: float = eqx.field(static=True) -> "
    "duration: float = eqx.field(static=False)": STATIC,
    "network/digraph.py: inputs: int = eqx.field(static=True) -> "
    "inputs: int = eqx.field(static=False)": STATIC,
    "network/digraph.py: bias_scale: float = eqx.field(static=True) -> "
    "bias_scale: float = eqx.field(static=False)": STATIC,
    "law/policy.py: if len(speeds) > 1: -> if len(speeds) != 1:": (
        "Equivalent: every network has a speed."
    ),
    "learner/settling.py: return jax.lax.fori_loop(0, hops, look, (start, jnp.zeros((), "
    "jnp.int32)))[1] -> return jax.lax.fori_loop(0, hops, look, (start, jnp.ones((), "
    "jnp.int32)))[1]": "Equivalent: who settles at once needs two hops as well, for one arc.",
    "network/block.py: parents: tuple[str, ...] = eqx.field(static=True, converter=tuple) -> "
    "parents: tuple[str, ...] = eqx.field(static=False, converter=tuple)": STATIC,
    "network/layered.py: wiring: dict[str, Block] = eqx.field(static=True) -> "
    "wiring: dict[str, Block] = eqx.field(static=False)": STATIC,
    "network/digraph.py: arcs = len(self.arcs.tails_and_heads()[0]) -> "
    "arcs = len(self.arcs.tails_and_heads()[ -1])": SAME_LENGTH,
    "network/grow.py: widths = [(0, b - a) for a, b in zip(old.shape, new.shape, strict=True)] -> "
    "widths = [(0, b - a) for a, b in zip(old.shape, new.shape, strict=False)]": STRICT,
    "network/layered.py: for k, (name, module) in zip(keys, self.modules.items(), strict=True) -> "
    "for k, (name, module) in zip(keys, self.modules.items(), strict=False)": STRICT,
    "oracle/boundary_value.py: return _solution(grid, w, tuple(zip(before, after, strict=True))) "
    "-> return _solution(grid, w, tuple(zip(before, after, strict=False)))": STRICT,
    "network/layered.py: return eqx.filter_eval_shape(_make, maker, jax.random.key(0)) -> "
    "return eqx.filter_eval_shape(_make, maker, jax.random.key( 1))": SHAPES,
    "network/topology.py: levels = np.zeros(n, dtype=np.int64) -> "
    "levels = np.ones(n, dtype=np.int64)": "Equivalent: every level is written before it is read.",
    "network/topology.py: distance = dijkstra(graph, indices=range(inputs), min_only=True, "
    "unweighted=True) -> distance = dijkstra(graph, indices=range(inputs), min_only=True, "
    "unweighted=False)": "Equivalent: every arc of the graph has the weight 1.",
    'learner/samples.py: if leaf.ndim == 0 or (name == "duration" and leaf.ndim > 1): -> '
    'if leaf.ndim == 0 or (name <= "duration" and leaf.ndim > 1):': (
        'Equivalent: of u, z, duration and query none else comes before "duration".'
    ),
    "law/motion.py: ratio = jnp.where(z == 0, 1, jnp.expm1(z) / jnp.where(z == 0, 1, z)) -> "
    "ratio = jnp.where(z == 0, 1, jnp.expm1(z) / jnp.where(z == 1, 1, z))": (
        "Equivalent in value: the guard keeps NaN out of derivatives by θ, which nobody takes."
    ),
    "oracle/backprop.py: if not _traced(gap) and not gap <= 1e3 * jnp.finfo(x.dtype).eps * "
    "(1 + jnp.max(jnp.abs(x))): -> if not _traced(gap) and not gap <= 1e3 * "
    "jnp.finfo(x.dtype).eps * (1 + jnp.min(jnp.abs(x))):": (
        "Newton's steps leave a gap far below either tolerance; only states far from 1 could tell."
    ),
    "oracle/boundary_value.py: apart = after[cold] - after[best] > APART * abs(after[best]) -> "
    "apart = after[cold] - after[best] > APART / abs(after[best])": (
        "Which starts are polished for comparison hangs on it, not the trajectory of least action."
    ),
    "oracle/boundary_value.py: return quasi_newton.minimise(grid, w, 20_000) -> "
    "return quasi_newton.minimise(grid, w, 20001)": "Equivalent: a bound that is not reached.",
    "oracle/constrained.py: for _ in range(20): -> for _ in range( 21):": (
        "Equivalent: a bound that is not reached."
    ),
    "oracle/newton.py: noise = 1e-13 * abs(float(here.action)) -> "
    "noise = 1e-13 / abs(float(here.action))": (
        "An allowance for rounding, 1e-13 of the action: only actions far from 1 could tell."
    ),
    "oracle/newton.py: smaller = np.abs(there.gradient).max() < np.abs(here.gradient).max() -> "
    "smaller = np.abs(there.gradient).max() > np.abs(here.gradient).max()": (
        "It decides about steps that change the action by 1e-13, which no tolerance sees."
    ),
}
