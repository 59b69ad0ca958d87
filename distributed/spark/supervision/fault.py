"""What ends an attempt: a fault, which another attempt may mend, or an error that would come again.

A process that is lost, an executor or a machine that is gone, a rank that is silent and a ring that
broke are faults. What a rank says of itself (a layer's error, data beyond the limit of damage, a
full disk, numbers that are not finite) would come again; so would what Spark says before any rank
has started, and a job that its user has cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.errors import ClusterError

from ..control import Message
from ..spark_job import death_of, is_loss, reason_of
from .roster import Roster


class Fault(ClusterError):
    """An attempt has failed, and another one may not; the message names the culprit."""


def explain(
    error: BaseException | None, errors: Sequence[Message], lost: set[int], roster: Roster
) -> ClusterError:
    """Why an attempt failed: a Fault, or the error that ends the run.

    error: what Spark says, None where it has not noticed. errors: what the ranks said, in the order
    in which they were heard; those that only missed another are marked `follows`. lost: ranks whose
    lines broke off. What began it counts, not what followed.
    """
    own = [each for each in errors if not each["follows"]]
    if own:
        return ClusterError(f"rank {own[0]['rank']} on {own[0]['host']}: {own[0]['message']}")
    reason = reason_of(error) if error else ""
    if is_loss(reason):
        return Fault(named(reason, roster))
    if lost:
        return Fault(death_of(roster.name(min(lost))))
    if errors:
        first = errors[0]
        suspect = roster.suspect({each["rank"] for each in errors})
        who = f"; {suspect}" if suspect else ""
        return Fault(f"rank {first['rank']} on {first['host']}: {first['message']}{who}")
    return ClusterError(reason or "the ranks ended without a word")


def named(reason: str, roster: Roster) -> str:
    """A reason of Spark's that begins with "rank 1", with what is known of this rank."""
    for rank in roster.ranks.values():
        start = f"rank {rank.number} "
        if reason.startswith(start):
            return f"{rank} {reason.removeprefix(start)}"
    return reason
