"""Learning: hops in a sample, samples in a chunk, chunks in a stream."""

from .learner import RECORDS as RECORDS
from .learner import Learner as Learner
from .samples import Samples as Samples
from .samples import Trace as Trace
