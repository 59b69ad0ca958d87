"""How a solver is kept in step with those of the other ranks: callbacks of the solver."""
