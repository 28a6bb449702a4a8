"""Encoders beside the pocket one: CLIP, SigLIP, DINOv2; the extra `gpu`."""
