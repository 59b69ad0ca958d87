"""Where samples come from: sources and their files, batches, and what is done to images."""
