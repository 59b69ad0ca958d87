"""What comparisons say of arrays that differ: one sentence, with the place and the usual cause."""

import numpy as np
import pytest

from minicaffe.labs.plugin import close, gradient, ratio_points

EXPECTED = np.arange(1.0, 9.0).reshape(2, 4)
NAN = float("nan")


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (None, "y is None (a case): is there a `return`?"),
        ("text", "y is a str without numbers (a case)"),
        (np.zeros((2, 3)), "y has shape (2, 3), expected (2, 4) (a case)"),
        (EXPECTED * NAN, "y[0, 0]: yours nan, expected 1 (a case); 8 of 8 differ: is it "),
        (EXPECTED * 0, "yours 0, expected 1 (a case); 8 of 8 differ: yours is 0 there: is it "
                       "written, and where it must not be overwritten, added to?"),
        (-EXPECTED, "8 of 8 differ: the sign is wrong"),
        (2 * EXPECTED, "differ: yours is twice as large: is something counted twice, or added that "
                       "replaces?"),
        (EXPECTED / 2, "differ: yours is half of it"),
        (4 * EXPECTED, "differ: yours is 4 times as large: a mean over 4 that is missing?"),
        (EXPECTED / 4, "differ: yours is 1/4 of it: divided by 4 once too often?"),
        (EXPECTED * 1.5, "differ: yours is 1.5 times as large everywhere it differs"),
        (EXPECTED + 3, "yours is off by the same 3: was something there to be overwritten?"),
        (np.where(EXPECTED == 7, 70, EXPECTED), "y[1, 2]: yours 70, expected 7 (a case); 1 of 8"),
    ],
)  # fmt: skip
def test_close_names_the_place_and_the_cause(got: object, said: str) -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        close("y", got, EXPECTED, "a case")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_one_number_alone_tells_no_factor() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"1 of 8 differ$"):
        close("y", np.where(EXPECTED == 7, 70.5, EXPECTED), EXPECTED)


def test_what_is_close_passes() -> None:
    close("y", [1.00005, NAN, np.inf], [1, NAN, np.inf])
    close("y", np.zeros(0), [])
    gradient("dx", [0.101, 1], [0.1, 1.01])
    with pytest.raises(pytest.fail.Exception, match="y: yours 1, expected 2"):
        close("y", 1, 2)


def test_a_gradient_is_told_with_its_factor() -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        gradient("dW", [[0.1, 0.1]], [[0.1, 0.2]], "slope 0.1")
    assert str(caught.value) == (
        "dW[0, 1]: backward says 0.1, differences of forward say 0.2 (factor 0.5; slope 0.1): "
        "yours is half of it"
    )


def test_points_follow_the_speed() -> None:
    assert ratio_points("gemm", 2.0, 1.0, 0.0, 1.0, "") == 0.5
    assert ratio_points("gemm", 1.0, 1.0, 0.05, 0.5, "") == 1.0
    with pytest.raises(pytest.fail.Exception) as caught:
        ratio_points("gemm", 1.0, 0.01, 0.05, 0.5, "look at the loop")
    assert str(caught.value) == (
        "gemm: yours takes 1000 ms, the reference 10 ms: 0.01 of its speed, points begin at 0.05; "
        "look at the loop"
    )
