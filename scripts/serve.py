"""Serve predictions to others: ``python scripts/serve.py [--host ADDRESS] [...]``.

The same as ``moedsr serve``; ``--help`` tells the options.
"""

from __future__ import annotations

import sys

from moedsr_core.backend.commands import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
