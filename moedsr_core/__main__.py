"""Start of the command ``moedsr``, also as ``python -m moedsr_core``.

The command's modules take seconds to load; a Ctrl-C in that time ends it like any other. A request
to terminate (SIGTERM) is a Ctrl-C, so that no half-written file stays.
"""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Load the command line and run it; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if sys.argv[1:2] in (["serve"], ["token"]):  # which need no torch
            from moedsr_core.backend import commands

            return commands.main(sys.argv[1:])
        if sys.argv[1:2] in (["jobs"], ["fetch"], ["cancel"]):  # nor do these
            from moedsr_core import remote

            return remote.main(sys.argv[1:])
        from moedsr_core import cli
    except KeyboardInterrupt:
        sys.stderr.write("moedsr: stopped; nothing was kept\n")
        return 130
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
