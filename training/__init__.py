"""Dataset sources, annotation, augmentation, training and evaluation of the LoRA that rapbot serves."""
