"""The part that computes, installed by a click: a private Python environment for moedsr_core."""

from .installation import Installation
from .places import environments_folder, installed
from .plan import Plan, installation_plan
from .removal import Removal

__all__ = [
    "Installation",
    "Plan",
    "Removal",
    "environments_folder",
    "installation_plan",
    "installed",
]
