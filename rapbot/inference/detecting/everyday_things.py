"""What to look for when the person has taught nothing yet: things that people keep and show."""

EVERYDAY_THINGS = (
    "person", "dog", "cat", "bird", "rabbit", "hamster", "fish", "turtle", "horse", "plush toy", "doll", "toy figure",
    "toy car", "toy", "statue", "mug", "cup", "glass", "bottle", "teapot", "bowl", "plate", "vase", "candle", "plant",
    "flower", "bag", "backpack", "suitcase", "wallet", "hat", "shoe", "jacket", "shirt", "glasses", "watch", "ring",
    "necklace", "key", "book", "pen", "phone", "laptop", "camera", "headphones", "lamp", "clock", "chair", "sofa",
    "cushion", "blanket", "picture frame", "guitar", "instrument", "ball", "bicycle", "motorcycle", "car", "boat",
    "house", "fruit", "cake", "box", "tool",
)  # fmt: skip
