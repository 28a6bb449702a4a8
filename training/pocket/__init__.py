"""The text-only model of profile pocket: its samples out of a grammar, its LoRA, and the proof of what it gains."""
