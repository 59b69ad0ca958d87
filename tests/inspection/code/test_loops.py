"""Loops are found by the jumps alone, and cold code far away is in none unless it comes back."""

from minicaffe.inspection.listing.lines import Line, Part, form_of, number_labels
from minicaffe.inspection.listing.loops import find_loops


def rows(text: str) -> list[Line]:
    """`a:` is a label, `? a` jumps to it or goes on, `> a` jumps, `.` ends, all else computes."""
    lines = []
    for word in text.split(", "):
        mark, _, place = word.partition(" ")
        if word.endswith(":"):
            lines.append(Line(word, "label", label=word[:-1]))
        else:
            targets = (place,) if mark in "?>" else ()
            lines.append(Line(word, targets=targets, falls=mark not in (">", ".")))
    return lines


def loops(text: str) -> list[tuple[int, int, int, int]]:
    """(first, last, depth, parent) of each."""
    return [(one.first, one.last, one.depth, one.parent) for one in find_loops(rows(text))]


def test_code_without_a_backward_jump_has_none():
    assert loops("x, ? a, x, a:, .") == []


def test_a_loop_goes_from_its_label_to_its_jump():
    assert loops("x, a:, x, ? a, .") == [(1, 3, 1, -1)]


def test_loops_within_loops_know_their_depth():
    assert loops("a:, x, b:, x, ? b, c:, x, ? c, x, ? a, .") == [
        (0, 9, 1, -1), (2, 4, 2, 0), (5, 7, 2, 0),
    ]  # fmt: skip


def test_two_ways_back_to_a_label_are_one_loop():
    assert loops("a:, x, ? a, x, ? a, .") == [(0, 4, 1, -1)]


def test_a_jump_from_far_away_into_a_loop_stretches_it_not_over_what_is_between():
    found = find_loops(rows("a:, ? cold, back:, x, ? a, x, x, ., cold:, x, > back"))
    assert [(one.first, one.last) for one in found] == [(0, 4)]
    assert found[0].rows == [0, 1, 2, 3, 4, 8, 9, 10]


def test_a_loop_that_is_entered_in_its_middle_begins_before_its_head():
    assert loops("> test, body:, x, test:, x, ? body, .") == [(1, 5, 1, -1)]


def test_a_long_function_is_read_without_recursion():
    text = ", ".join(f"? l{n}, l{n}:" for n in range(3000))
    assert loops(f"a:, {text}, ? a, .") == [(0, 6001, 1, -1)]


def test_a_form_counts_what_stands_in_each_loop_and_begins_with_the_hottest_function():
    cold, hot = rows("a:, x, ? a, ."), rows("a:, b:, x, ? b, ? a, .")
    hot[2].is_multiply_add = hot[2].is_vector = True
    form = form_of("code", [Part("cold", cold), Part("hot", hot)])
    assert [each.name for each in form.functions] == ["hot", "cold"]
    assert [(each.first, each.last) for each in form.functions] == [(0, 5), (6, 9)]
    outer, inner, other = form.loops
    assert (outer.first, outer.last, outer.depth) == (0, 4, 1)
    assert (inner.first, inner.last, inner.depth, inner.parent) == (1, 3, 2, 0)
    assert inner.counts == {
        "instructions": 2, "vector": 1, "multiply-add": 1, "memory": 0, "stack": 0,
    }  # fmt: skip
    assert outer.counts["instructions"] == 3
    assert (other.number, other.first, other.parent) == (2, 6, -1)
    assert [row.loop for row in form.rows] == [0, 1, 1, 1, 0, -1, 2, 2, 2, -1]


def test_labels_are_numbered_and_those_that_nothing_jumps_to_are_dropped():
    lines = rows("unused:, $L__10:, x, ? $L__1, $L__1:, ? $L__10, .")
    number_labels(lines)
    assert [line.text for line in lines] == ["L1:", "x", "? L2", "L2:", "? L1", "."]
