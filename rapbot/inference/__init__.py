"""Queue, worker, detect, encode, retrieve, generate."""
