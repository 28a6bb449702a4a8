"""Data sets as they are downloaded, read into records: which things are on which picture, and what is said of them."""
