"""The interconnect suite: what sums, trainings and devices cost on each link.

    python -m benchmarks.interconnects            all of it: about an hour
    python -m benchmarks.interconnects --quick    a few sizes: minutes

`report.json` of a run has

    machine, others, load     where and beside what it ran
    left_out                  what could not be measured here, and why
    sums                      records of allreduces; sums.py says what is in one
    nets, runs                what computing takes, and trainings on each link; training.py
    devices                   an iteration on each device; devices.py
"""
