"""Detectors that are told in words what to look for (open vocabulary); the extra `gpu`."""
