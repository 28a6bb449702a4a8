"""Training of models that see: the samples of RAP, composed, collated, trained with LoRA, published."""
