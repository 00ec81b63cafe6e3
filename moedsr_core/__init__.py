"""MoE-DSR: predict how a protein's molecular surface moves.

Units everywhere in this package: Å and ps. Signed distances are negative inside.
"""

__version__ = "0.1.0"
