"""Vectors of the processor: instructions, loops over lanes, sums and maxima, scratch memory."""
