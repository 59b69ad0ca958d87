"""What keeps a training alive: who is there, what each does, and what follows from a fault.

heartbeat.py    a rank's signs of life, and what it is doing
roster.py       the ranks as the driver knows them
fault.py        faults that another attempt may mend, and errors that would come again
generation.py   one attempt: a barrier job, watched
executors.py    executors that do not answer, and are given up
recovery.py     from where, and with how many ranks, the next attempt begins
checkup.py      what a rank's place is like: versions, memory, data
interrupts.py   Ctrl-C while a job runs
"""
