"""Scale on paper: a discrete-event model of a training iteration on many ranks."""
