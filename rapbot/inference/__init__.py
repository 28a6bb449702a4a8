"""Queue, worker, detect, encode, retrieve, generate."""

import os

# Before torch is imported anywhere: its threads must sleep while they wait for each other. By default they spin, and
# when another program takes one of two cores a photo then costs 9 seconds instead of 2 (benchmarks/message_path.py).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
