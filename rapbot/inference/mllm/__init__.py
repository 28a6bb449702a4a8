"""Vision-language models behind the seam `Generator`: by transformers in the worker, or an OpenAI-compatible server."""
