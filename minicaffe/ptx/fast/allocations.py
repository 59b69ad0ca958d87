"""The table of allocations, in which compiled code looks up where an address lies."""

from llvmlite import ir

from .lanes import BIT, INT32, INT64, POINTER, Lanes, Value, vector

FIND = "find_allocations"
_ROW = 3  # words of a row: first byte, end, writable


def define_search(module: ir.Module) -> None:
    """find_allocations(table, count, recent, address, size, active, writes) -> lanes at fault.

    For each active lane the row is looked up in which its bytes lie, by bisection; `recent` gets
    the last one that was found, so that most accesses need not come here.
    """
    kinds = [POINTER, INT32, POINTER, vector(INT64), INT64, INT32, BIT]
    function = ir.Function(module, ir.FunctionType(INT32, kinds), FIND)
    function.linkage = "internal"
    function.attributes.add("noinline")
    table, count, recent, addresses, size, active, writes = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    lanes = Lanes(b, portable=True)
    cells = b.alloca(vector(INT64))
    cells.type = POINTER
    b.store(addresses, cells, align=64)
    rest, low, high, faults = (_variable(b, INT32) for _ in range(4))
    b.store(active, rest)
    b.store(INT32(0), faults)
    head, search, narrow, found, end = (
        function.append_basic_block(word) for word in ("head", "search", "narrow", "found", "end")
    )
    b.branch(head)
    b.position_at_end(head)
    left = b.load(rest, typ=INT32)
    lane = lanes.lowest(left)
    b.store(INT32(0), low)
    b.store(count, high)
    b.cbranch(b.icmp_unsigned("==", left, INT32(0)), end, search)

    b.position_at_end(search)  # the last row that begins at or before the address: low - 1
    address = b.load(b.gep(cells, [lane], source_etype=INT64), typ=INT64)
    below, above = b.load(low, typ=INT32), b.load(high, typ=INT32)
    b.cbranch(b.icmp_unsigned("<", below, above), narrow, found)
    b.position_at_end(narrow)
    middle = b.lshr(b.add(below, above), INT32(1))
    begins = b.load(_row(b, table, middle, 0), typ=INT64)
    before = b.icmp_unsigned("<=", begins, address)
    b.store(b.select(before, b.add(middle, INT32(1)), below), low)
    b.store(b.select(before, above, middle), high)
    b.branch(search)

    b.position_at_end(found)
    first = b.icmp_unsigned("==", below, INT32(0))
    row = b.select(first, INT32(0), b.sub(below, INT32(1)))
    bounds = [b.load(_row(b, table, row, word), typ=INT64) for word in range(_ROW)]
    with b.if_else(_may_use(b, address, size, writes, bounds)) as (then, otherwise):
        with then:
            b.store(bounds[0], recent)
            room = b.sub(bounds[1], bounds[0])
            b.store(room, b.gep(recent, [INT32(1)], source_etype=INT64))
        with otherwise:
            bit = b.shl(INT32(1), lane)
            b.store(b.or_(b.load(faults, typ=INT32), bit), faults)
    b.store(b.and_(left, b.sub(left, INT32(1))), rest)
    b.branch(head)
    b.position_at_end(end)
    b.ret(b.load(faults, typ=INT32))


def _may_use(
    b: ir.IRBuilder, address: Value, size: Value, writes: Value, bounds: list[Value]
) -> Value:
    """Whether bytes lie in a row, and may be written if they are to be."""
    begin, stop, writable = bounds
    inside = b.and_(
        b.icmp_unsigned(">=", address, begin), b.icmp_unsigned("<=", b.add(address, size), stop)
    )
    return b.and_(inside, b.or_(b.not_(writes), b.icmp_unsigned("!=", writable, INT64(0))))


def _row(b: ir.IRBuilder, table: Value, row: Value, word: int) -> Value:
    at = b.add(b.mul(row, INT32(_ROW)), INT32(word))
    return b.gep(table, [at], source_etype=INT64)


def _variable(b: ir.IRBuilder, kind: ir.Type) -> Value:
    cell = b.alloca(kind)
    cell.type = POINTER
    return cell
