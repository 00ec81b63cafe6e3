"""Run the backend by hand: ``python scripts/serve.py --token-file FILE [--port 8642]``."""

from __future__ import annotations

import sys

from moedsr_core.backend.server import main

if __name__ == "__main__":
    sys.exit(main())
