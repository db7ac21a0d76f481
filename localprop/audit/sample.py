"""A whole sample, as the learner presents it: which hops hold what, and what its hops tell."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..errors import ConfigError
from ..law import Hamiltonian, LeastAction, Phase
from ..learner import Learner, Samples
from ..learner.loop import write_out
from .channels import channel_lines, forbidden, heard_by_all, hop_step, sign_given, transported
from .rules import Rules
from .step import Step
from .wiring import wiring

MOST = 16  # hops of a sample that are followed one by one


class SampleAudit(eqx.Module):
    """What is known of a learner's whole sample; made by `audit_sample`.

    **Fields:**

    - `network`, `law`: their kinds; `policy`: its kind, empty for a law that has none.
    - `hops`: of a sample. `settle`: how many of them are settle hops.
    - `held`: per quantity, in how many hops it is handed on as it is: where that is the weights,
      learning waits for an error that is under way (update locking).
    - `forbidden`: dependencies of a hop that run along no arc, in settle and in moving hops.
      `given_sign`: the same, but for those that one sign for all would explain.
    - `beyond`: dependencies of the whole sample that its hops, one after the other, do not
      explain. `reach`: the share of all pairs that one hop joins, and that the sample joins.
    - `read`: the hop after which the prediction is read. `honest`: whether no target reaches it.
    - `transport`: pairs of a vertex and a child's weight that it reads.
    - `heard`: of how many numbers of the phase the one sign is made that everybody obeys.
    - `constant`: whether the sample leaves every shape as it was.

    !!! example

        ```python
        >>> import localprop
        >>> network = localprop.Digraph.layered([2, 3, 1])
        >>> learner = localprop.Learner(network, localprop.Cost(localprop.SquaredError()))
        >>> proof = localprop.audit_sample(learner)
        >>> proof.hops, proof.held["w"], proof.held["x"], proof.honest
        (7, 4, 0, True)

        ```
    """

    network: str
    law: str
    policy: str
    hops: int
    settle: int
    held: dict[str, int]
    forbidden: int
    given_sign: int
    beyond: int
    reach: tuple[float, float]
    read: int
    honest: bool
    transport: int
    heard: int
    constant: bool

    @property
    def local(self) -> bool:
        """Whether every hop of the sample reads along arcs only, and nothing acts beside them."""
        return self.forbidden == self.beyond == 0

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as JSON can hold it."""
        names = (
            "network",
            "law",
            "policy",
            "hops",
            "settle",
            "held",
            "forbidden",
            "given_sign",
            "beyond",
        )
        facts = {name: getattr(self, name) for name in names}
        return facts | {
            "reach_of_a_hop": self.reach[0],
            "reach_of_the_sample": self.reach[1],
            "prediction_read_after_hop": self.read,
            "prediction_is_honest": self.honest,
            "weight_transport": self.transport,
            "numbers_in_one_sign": self.heard,
            "local_in_space": self.local,
            "local_in_time": self.constant,
        }

    def __str__(self) -> str:
        under = f"{self.law}, {self.policy}" if self.policy else self.law
        waits = [f"{q} in {k}" for q, k in self.held.items() if k]
        space = "every hop local" if self.local else f"NOT local: {self.forbidden} in a hop, "
        if not self.local:
            space += f"{self.beyond} beside the hops"
        lines = [
            f"a sample of {self.hops} hops on {self.network} under {under}",
            f"space: {space}; a hop joins {self.reach[0]:.0%} of all pairs, the sample "
            f"{self.reach[1]:.0%}",
            f"time:  {'constant' if self.constant else 'GROWING'} state from sample to sample",
            "locks: "
            + (
                f"of {self.hops} hops are held: {', '.join(waits)} (update locking)"
                if waits
                else "nothing is held in any hop"
            ),
            f"told:  the prediction, read after hop {self.read}, "
            + ("knows no target" if self.honest else "KNOWS its target"),
            *channel_lines(self.transport, self.heard, self.given_sign),
        ]
        return "\n".join(lines)


def audit_sample(learner: Learner) -> SampleAudit:
    """Proves or refutes, hop by hop, that a whole sample is learned locally, and says what waits.

    A sample of $K$ hops is `settle` hops, in which the law holds the weights, and others. Each
    kind is looked at as `audit` looks at one hop. Then `Learner.present` itself is traced: it may
    join only what its hops join, one after the other, and no target may reach its prediction.

    **Arguments:** `learner`: of at most 16 hops, which are looked at one after the other.

    **Raises:** `ConfigError` for more, and for a kind of network that declares no arcs.

    !!! example

        ```python
        >>> from localprop import Cost, Digraph, LeastAction, Learner, SquaredError, audit_sample
        >>> network, cost = Digraph.layered([2, 3, 1]), Cost(SquaredError())
        >>> print(audit_sample(Learner(network, cost, LeastAction(), hops=2, settle=0)))
        a sample of 2 hops on Digraph under LeastAction
        space: every hop local; a hop joins 8% of all pairs, the sample 19%
        time:  constant state from sample to sample
        locks: nothing is held in any hop
        told:  the prediction, read after hop 0, knows no target
        weight transport: λ_i reads the number w_ki at its child k, 3 times

        ```
    """
    network, cost, law, hops = learner.network, learner.cost, learner.law, learner.hops
    if hops > MOST:
        raise ConfigError(f"hops is {hops}; a sample of at most {MOST} hops can be audited")
    if learner.review is not None:
        raise ConfigError(
            "review shows samples of other times, which no hop knows of; audit without"
        )
    wires = wiring(network)
    rules = Rules(wires, drifts=isinstance(law, LeastAction))
    phase = jax.eval_shape(learner.init, jax.random.key(0))
    present = lambda p, u, z: learner.present(p, Samples(u, z), write_out)  # noqa: E731
    whole = Step(lambda p, u, z: present(p, u, z)[0], wires, phase)
    kinds = {still: hop_step(network, cost, law, wires, still) for still in (True, False)}
    made = [kinds[k < learner.settle] for k in range(hops)]

    explained = np.eye(whole.count, dtype=bool)
    for matrix in map({hop: hop.matrix() for hop in set(made)}.get, made):
        explained = explained @ matrix
    joined, pairs = whole.matrix(), np.ix_(whole.occurring(), whole.moving())
    share = lambda table: float(table[pairs].mean())  # noqa: E731
    wrong = set().union(*(forbidden(hop, rules)[1] for hop in set(made)))
    heard, given = heard_by_all(law, made[-1]), wrong
    if heard:
        told = [
            hop_step(network, cost, signed, wires, still)
            for signed in sign_given(law)
            for still in (True, False)
        ]
        given = set().union(*(forbidden(hop, rules)[1] for hop in told))
    held = [hop.held() for hop in made]
    after, _ = jax.eval_shape(present, phase, *whole.example[1:])
    same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype  # noqa: E731
    return SampleAudit(
        type(network).__name__,
        type(law).__name__,
        type(law.policy).__name__ if isinstance(law, Hamiltonian) else "",
        hops,
        learner.settle,
        {q: sum(q in names for names in held) for q in whole.quantities()},
        len(wrong),
        len(given),
        int((joined & ~explained).sum()),
        (share(made[-1].matrix()), share(joined)),
        min(hops, law.blind_hops(learner.settle)),
        not _knows_target(whole, lambda p, u, z: present(p, u, z)[1]),
        len(transported(network, cost, law, wires)),
        heard,
        jax.tree.structure(phase) == jax.tree.structure(after)
        and all(map(same, jax.tree.leaves(phase), jax.tree.leaves(after))),
    )


def _knows_target(sample: Step, predict: Any) -> bool:
    """Returns whether any number of the target can reach the prediction."""

    def predicted(clock: Any, moving: dict[str, Any], u: Any, z: Any) -> Any:
        return predict(Phase(**moving, time=clock[0], hop=clock[1]), u, z)

    start = sample.offsets["z"]
    return bool(sample.followed(predicted)[start : start + sample.sizes["z"]].any())
