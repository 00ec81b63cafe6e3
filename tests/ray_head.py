"""A Ray cluster of this computer alone: ``python ray_head.py CPUS``.

Writes its address as a line on standard output and ends with its standard input. Meanwhile a line
``add CPUS`` starts another node, and ``remove`` ends it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # which means loopback
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",
}


def main(cpus: str) -> int:
    folder = tempfile.mkdtemp(prefix="ray-")  # pytest's are too long for sockets
    os.environ.update(SETTINGS, RAY_TMPDIR=folder)
    from ray.cluster_utils import Cluster

    common = {"include_log_monitor": False, "object_store_memory": 80_000_000}
    head = {"num_cpus": int(cpus), "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**common, **head})
    try:
        answer(cluster.address)
        node = None
        for line in sys.stdin:
            if line.startswith("add"):
                node = cluster.add_node(**common, num_cpus=int(line.split()[1]))
            else:
                cluster.remove_node(node, allow_graceful=False)
            answer(line.strip())
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
