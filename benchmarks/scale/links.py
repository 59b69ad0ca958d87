"""Links by name: published latencies and rates, and those of this house's test machine.

# latency: half a round trip of a small message, through the kernel for ethernet, by verbs for
# infiniband. bandwidth: what is left of the rate for payload.
"""

from __future__ import annotations

from .network import Link

KERNEL = (
    "24.6 us: MPICH over sockets on a link of 117 MB/s, gist.github.com/jfgrimm/"
    "3af692a5475bdd4ed836b5a18197a209; the faster ones are taken to have the same, since the way "
    "through the kernel is; headers of ethernet, IP and TCP leave 0.957 of the rate"
)
VERBS_FDR = (
    "54.5 Gbit/s after 64b/66b: advancedclustering.com/act_kb/infiniband-types-speeds; "
    "1.2 us as for HDR, generations differ by tenths"
)
VERBS_HDR = (
    "1.2 us and 192 Gbit/s (its GB/s is a slip): docs.azure.cn/en-us/virtual-machines/"
    "hbv3-performance"
)
COS_IB = "1 GB in 580 ms over ConnectX-3: github.com/yahoo/CaffeOnSpark/issues/278"


def _ethernet(gigabits: float) -> Link:
    bandwidth = gigabits * 0.957e9 / 8
    return Link(f"ethernet-{gigabits:g}", 24.6e-6, bandwidth, KERNEL)


KNOWN = {
    link.name: link
    for link in (
        *(_ethernet(gigabits) for gigabits in (1, 10, 25, 100)),
        Link("infiniband-fdr", 1.2e-6, 54.5e9 / 8, VERBS_FDR),
        Link("infiniband-hdr", 1.2e-6, 192e9 / 8, VERBS_HDR),
        Link("caffeonspark-rdma", 1.2e-6, 1e9 / 0.58, COS_IB),
    )
}
# Ranks of one host, GPUs on a bus: PCI Express 3.0 x16, 15.75 GB/s, of which some 12 arrive.
HOST = Link("pcie-3", 5e-6, 12e9, "PCI Express 3.0: 16 lanes of 8 GT/s, 128b/130b")


def link_of(name: str) -> Link:
    """A link by its name. Raises ValueError with those there are."""
    if name not in KNOWN:
        raise ValueError(f"no link '{name}' (there are: {', '.join(KNOWN)})")
    return KNOWN[name]
