"""Distribution: ranks in a ring, and the Spark jobs that start them.

communicator.py   the contract of the collectives (allreduce, broadcast, ...)
ring.py           the algorithm: which chunk goes where, and when
walks.py          its schedule: the segments that a rank sends and awaits
compression.py    float32 in two bytes for the wire
recursive_doubling.py  another one, for small arrays: log2 P steps by links to pairs
two_paths.py      which of the two an array takes
hierarchy.py      rings inside the hosts, and rings between them
composed.py       what communicators have in common that are made of others
frames.py         what travels on a link: a checked header and a payload
transport/        how it travels: one file a scheme, inproc (threads of one process) and tcp
auth.py           how two neighbours prove to each other that they belong to the same ring
handshake.py      that proof over sockets, while strangers knock
rendezvous.py     how the ranks learn each other's addresses; connect() builds the communicator
choosing.py       auto: which transports, from what all ranks have
joining.py        the links of a rank, one after the other
sync/             how a solver uses it: one file a way in which ranks come to one model
validation.py     a test of which every rank runs a share
"""
