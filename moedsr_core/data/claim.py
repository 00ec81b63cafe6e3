"""One process at a time: a lock on an open file, which ends with the process however that ends."""

from __future__ import annotations

import sys
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def claim(file: BinaryIO) -> bool:
        """Lock a byte far behind the end of a file that is open for writing.

        Returns:
            Whether that worked; false where another process holds it.
        """
        file.seek(1 << 40)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def claim(file: BinaryIO) -> bool:
        """Lock a file that is open for writing, until it is closed or the process ends.

        Where a file system has no locks (some cluster ones), nobody is kept out.

        Returns:
            Whether that worked; false where another process holds it.
        """
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
