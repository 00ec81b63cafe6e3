"""MoE-DSR: predict how a protein's molecular surface moves.

Units everywhere in this package: Å and ps. Signed distances are negative inside.
"""

import os

# Threads that wait for the next parallel piece of work would otherwise spin and take the core from
# the one that prepares it: on two shared cores a demo took 999 s so, and 153 s with this. It must
# be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
