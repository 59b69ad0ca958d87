"""Names that the ancestor's notebooks expect everywhere: sc, jvm, gateway, sqlContext."""

import builtins
from typing import Any


def registerContext(sc: Any) -> None:
    """Make `sc`, `jvm` and `gateway` names that every module knows."""
    vars(builtins).update(sc=sc, jvm=sc._jvm, gateway=sc._gateway)


def registerSQLContext(sqlContext: Any) -> None:
    """Make `sqlContext` a name that every module knows."""
    vars(builtins).update(sqlContext=sqlContext)
