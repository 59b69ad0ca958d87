"""The solver: its loop, its nets, its state; the update rules are in rules/, one file a type."""
