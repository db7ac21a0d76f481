"""Numbers that the loops and those who call them have to agree on."""

LANES = 8  # numbers that are added up side by side
LINE = 16  # numbers of a line of the cache
TURNED = 80  # numbers of a matrix turned, and zeros behind it, in whole lines
STRETCH = 2048  # weights that move at once, as many as stay in the nearest cache

# Activations, in the order of `localprop.network.activation.ACTIVATIONS`; losses; masses.
TANH, LOGISTIC, SOFTPLUS, RELU, SILU, GELU, IDENTITY = range(7)
SQUARED, HUBER, CROSS_ENTROPY = range(3)
CONSTANT, ADAPTIVE, GROWING = range(3)

# What the threads of a chain are told of a sample: streams with a target, streams that take part,
# and the place of the first; it is a line of the cache behind how often they met.
LIVE, SEEN, FIRST, TOLD = range(4)
