"""Two replicas on a Ray cluster of one machine, in the environment of Ray; run by a test.

    python ray_replicas.py AVATARS PORT

Says "ready" when both answer, and ends when its input is closed.
"""

from __future__ import annotations

import os
import sys

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

import ray
from ray import serve

from avatar.integrations.ray_serve import APPLICATION, SERVICERS, application
from avatar.serving.config import ServerConfig


def main() -> None:
    folder, port = sys.argv[1], int(sys.argv[2])
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=True, object_store_memory=100 << 20)
    try:
        serve.start(
            proxy_location="HeadOnly",
            grpc_options={"port": port, "grpc_servicer_functions": SERVICERS},
            http_options={"port": 0},
        )
        serve.run(
            application(ServerConfig(avatars=folder), replicas=2),
            name=APPLICATION,
        )
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
