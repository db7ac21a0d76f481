"""Proof of locality: what one hop reads, arc by arc; what a whole sample holds and carries."""

from .sample import SampleAudit as SampleAudit
from .sample import audit_sample as audit_sample
from .verdict import Audit as Audit
from .verdict import audit as audit
