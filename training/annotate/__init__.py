"""From records of data sets to what the composer of training/rap reads: concepts with cards, photos with texts."""
