"""Update rules: one file a solver type, found by `create_solver` through its `type`."""
