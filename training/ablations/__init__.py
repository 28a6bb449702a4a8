"""The ablations of the paper and its baselines, measured side by side by one command."""
