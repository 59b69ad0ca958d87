"""Train a net on Spark: a barrier stage whose tasks are the ranks of a ring.

    MINICAFFE_PATH=. python examples/job.py nets/circles_solver.prototxt -ranks 2
    MINICAFFE_PATH=. spark-submit examples/job.py nets/circles_solver.prototxt -ranks 2

Every rank builds the same solver, reads its own share of the data and takes its own steps; what the
ranks have in common they owe to the callback that is called `sync` (distributed/sync/).
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minicaffe import context
from minicaffe.distributed.auth import new_secret
from minicaffe.distributed.rendezvous import Rendezvous, SparkRendezvous, connect
from minicaffe.distributed.spark.spark_job import reason_of
from minicaffe.distributed.sync import create_sync
from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.create import create_solver


class Job(NamedTuple):
    """What travels to every rank.

    solver      a SolverParameter with its net inside, serialised
    sync        how the ranks stay together: "allreduce", "sparknet:tau=10"
    secret      which all ranks of the ring share
    device      where nets run
    callbacks   further callbacks of each rank's solver
    """

    solver: bytes
    ranks: int
    sync: str
    secret: bytes
    device: str = "cpu"
    callbacks: tuple[Any, ...] = ()


class Trained(NamedTuple):
    """What a rank has come to."""

    rank: int
    iteration: int
    weights: Any  # all parameters, flat, float32


def train_rank(job: Job, rank: int, rendezvous: Rendezvous) -> Trained:
    """Train as one rank, from its context to its weights; nothing stays open.

    All ranks need the same `data_seed`, so that they share the samples: it is the solver's seed.
    """
    param = pb.SolverParameter.FromString(job.solver)
    with context.fresh(job.device) as here:
        here.solver_rank, here.solver_count = rank, job.ranks
        here.data_seed = param.random_seed
        with (
            connect(rendezvous, rank, job.ranks, secret=job.secret) as ring,
            closing(create_solver(param)) as solver,
            closing(create_sync(job.sync, ring)) as sync,
        ):
            solver.callbacks += [sync, *job.callbacks]
            solver.solve()
            weights = np.array(solver.net.flat_params.data.read("cpu"))
            return Trained(rank, solver.iter, weights)


def train_partition(job: Job, rows: Iterator[int]) -> Iterator[Trained]:
    """The task of one rank in the barrier stage: its partition's number is its rank."""
    from pyspark import BarrierTaskContext

    task = BarrierTaskContext.get()
    yield train_rank(job, task.partitionId(), SparkRendezvous(task))


def train(sc: Any, job: Job) -> list[Trained]:
    """Run the job's ranks as one barrier stage, and give what they have come to, by rank.

    Raises ClusterError, in one sentence that names the rank, when one fails.
    """
    try:
        rows = sc.parallelize(range(job.ranks), job.ranks)
        found: list[Trained] = rows.barrier().mapPartitions(partial(train_partition, job)).collect()
    except Exception as error:
        raise ClusterError(reason_of(error)) from None
    return found


def main() -> None:
    """Read the words of the command, train, and say what came of it."""
    from minicaffe.distributed.spark.session import session_of
    from minicaffe.machine.java import use_java
    from minicaffe.proto.files import read_solver

    parser = argparse.ArgumentParser(description="Train a net on Spark")
    parser.add_argument("solver", help="a prototxt with its net inside (net_param)")
    parser.add_argument("-ranks", type=int, default=2)
    parser.add_argument("-sync", default="allreduce")
    parser.add_argument("-device", default="cpu")
    words = parser.parse_args()
    use_java()
    sc = session_of().sparkContext
    solver = read_solver(words.solver).SerializeToString()
    job = Job(solver, words.ranks, words.sync, new_secret(), words.device)
    try:
        for each in train(sc, job):
            norm = float(np.linalg.norm(each.weights))
            print(f"rank {each.rank}: {each.iteration} iterations, |w| = {norm:.7g}")
    except ClusterError as error:
        sys.exit(f"job: {error}")
    finally:
        sc.stop()


if __name__ == "__main__":
    main()
