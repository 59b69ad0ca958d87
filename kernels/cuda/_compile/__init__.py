"""What turns a Python function into PTX, and PTX into a launch."""
