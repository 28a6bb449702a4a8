"""Other views of the same pictures: turned, cropped, in other light, before other grounds, from another side."""
