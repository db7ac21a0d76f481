"""Proof of locality: what one hop reads, arc by arc, and what it carries."""

from .verdict import Audit as Audit
from .verdict import audit as audit
