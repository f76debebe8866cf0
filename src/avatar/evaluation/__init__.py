"""Looking at what is made, by eye and by number."""
