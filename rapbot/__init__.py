"""rapbot: a chat assistant that learns your dog, your mug, your sister from one photo and one sentence."""

__version__ = "0.1.0"
