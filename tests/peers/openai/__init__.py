"""A stand-in for OpenAI-compatible model servers: vLLM, llama.cpp's, and a hosted service that is strict."""
