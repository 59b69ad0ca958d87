"""Kernels of the device `reference`: plain NumPy, the oracle of every parity test.

NaN and infinity are results like others here, as on every device. Functions in which they come up
are `@np.errstate(all="ignore")`: which operations NumPy warns of depends on the processor, because
it looks at flags that vector code also sets in lanes that nobody reads.
"""
