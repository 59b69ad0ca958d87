"""What turns a Python function into machine code: the decorators, parts for threads, the cache."""
