"""Where a learner's settings stand in the two arrays that the loop over hops is handed."""

FORWARD, SETTLE, LEARN = range(3)  # what a hop is for
HAMILTONIAN, LEAST_ACTION = range(2)  # laws
NONE, INSTANTANEOUS, REVERSED = range(3)  # traces, by their costates
STEADY, EVERY, COSINE, BALL = range(4)  # policies: two signs for ever; flips; inside and outside

INTS = (
    "streams", "neurons", "sources", "inputs", "hops", "settle_hops", "blind", "parts", "law",
    "policy", "period", "by_sample", "exponential", "instant", "mass", "implicit", "loss",
    "record_loss", "record_norms", "average", "inertial", "traces",
)  # fmt: skip
(
    STREAMS, NEURONS, SOURCES, INPUTS, HOPS, SETTLE_HOPS, BLIND, PARTS, LAW, POLICY, PERIOD,
    BY_SAMPLE, EXPONENTIAL, INSTANT, MASS, IMPLICIT, LOSS, RECORD_LOSS, RECORD_NORMS, AVERAGE,
    INERTIAL, TRACES,
) = range(len(INTS))  # fmt: skip

FLOATS = (
    "x_sign", "costate_sign", "friction", "omega", "radius", "speed", "m", "rate", "decay", "floor",
    "weight_decay", "loss_setting", "costate_friction", "stiffness", "neuron_mass",
    "neuron_friction", "neuron_speed", "over",
)  # fmt: skip
(
    X_SIGN, COSTATE_SIGN, FRICTION, OMEGA, RADIUS, SPEED, M, RATE, DECAY, FLOOR, WEIGHT_DECAY,
    LOSS_SETTING, COSTATE_FRICTION, STIFFNESS, NEURON_MASS, NEURON_FRICTION, NEURON_SPEED, OVER,
) = range(len(FLOATS))  # fmt: skip
