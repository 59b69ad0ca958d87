"""What CaffeOnSpark's tests and pages ask for, line by line: where it is held, or what differs.

Each line names tests that hold it; those that stand here are the ones that no other file has.
"""

import ast
import re
from functools import cache
from typing import Any

import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource, submit
from tests.conftest import CHECKOUT
from tests.spark_cluster import SmallSet

pytestmark = pytest.mark.xdist_group("spark")

LINES = {
    "1 LeNet as it is: 0.8 after 81 iterations": [
        "tests/spark/test_ancestors_prototxts.py::test_they_run_as_they_are",
    ],
    "2 the same first batch from all sources": [
        "tests/data/test_same_everywhere.py::test_the_same_batches_and_the_same_weights",
    ],
    "3 a DataFrame of features": [
        "tests/spark/test_spark.py::test_features_have_every_row_once",
        "tests/spark/test_ancestors_programs.py::test_the_demo_of_deep_learning",
    ],
    "4 -train with -features or -test; features win": [
        "tests/spark/test_spark.py::test_train_and_features_in_one_command",
        "tests/spark/test_acceptance.py::test_train_and_test_in_one_command",
        "tests/spark/test_spark_config.py::test_features_win_over_test_on_the_command_line",
    ],
    "5 a DataFrame of validations": [
        "tests/spark/test_ancestors_programs.py::test_train_with_validation",
    ],
    "6 HDF5, names, places": [
        "tests/spark/test_ancestors_prototxts.py::test_they_run_as_they_are",
        "tests/spark/test_spark.py::test_what_a_training_leaves",
        "tests/spark/test_spark.py::test_test_writes_into_any_file_system",
        "tests/spark/test_far_cluster.py::test_a_far_run_is_a_near_one_bit_for_bit",
        "tests/spark/test_far_files.py::test_everything_may_lie_in_hdfs",
        "tests/spark/test_far_files.py::test_everything_may_lie_in_an_object_store",
    ],
    "7 resume and fine-tune": [
        "tests/spark/test_spark.py::test_a_stopped_and_resumed_run_gives_the_same_bits",
        "tests/spark/test_acceptance.py::test_weights_alone_are_where_a_training_begins",
    ],
    "8 one clear error each": [
        "tests/spark/test_spark.py::test_one_clear_error_and_nothing_half_written",
        "tests/spark/test_spark_config.py::test_what_a_plan_refuses",
        "tests/spark/test_image_data_frame.py::test_a_column_that_is_missing_is_named",
        "tests/spark/test_data_source.py"
        "::test_encoded_pictures_stay_so_and_damaged_ones_are_left_out",
    ],
    "9 N ranks are one with N times the batch": [
        "tests/spark/test_spark.py::test_two_ranks_follow_one_with_twice_the_batch",
        "tests/spark/test_live.py::test_two_devices_on_a_rank_are_two_ranks_bit_for_bit",
    ],
    "10 captions there and back": [
        "tests/spark/test_tools.py::test_pictures_and_captions_there_and_back",
        "tests/spark/test_tools.py::test_sentences_in_numbers_and_back",
        "tests/spark/test_tools.py::test_the_captions_of_the_ancestor",
    ],
    "11 features into Spark ML": [
        "tests/spark/test_ancestors_programs.py::test_a_pipeline_of_spark_ml",
    ],
    "12 the tools' schemas and counts": [
        "tests/spark/test_tools.py::test_binary2dataframe",
        "tests/spark/test_tools.py::test_binary2sequence",
        "tests/spark/test_tools.py::test_lmdb2dataframe",
        "tests/spark/test_tools.py::test_lmdb2sequence",
        "tests/spark/test_tools.py::test_the_whole_of_coco",
    ],
}


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests in a file of the checkout."""
    tree = ast.parse((CHECKOUT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("line", LINES)
def test_every_line_of_the_list_has_tests(line: str) -> None:
    for test in LINES[line]:
        file, _, name = test.partition("::")
        assert name in names_in(file), test


PAINS = (CHECKOUT / "docs" / "pains.md").read_text(encoding="utf-8")


def test_all_pains_have_an_answer() -> None:
    """Rows 1 to 48, each with a page, or a test that there is."""
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAINS, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 49))
    for number, _, _, held in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", held)
        assert tests or "](" in held or held.strip() == "-", number
        for file, name in tests:
            assert (CHECKOUT / file).is_file(), file
            assert not name or name in names_in(file), f"{file}::{name}"


# --- what no other file has ----------------------------------------------------------------------


def test_train_and_test_in_one_command(sc: Any, small: SmallSet) -> None:
    """The test is made with the model that was just trained."""
    args = {"train": True, "test": True, "conf": small.solver(max_iter=40),
            "model": small.folder / "m.caffemodel", "output": small.folder / "result"}  # fmt: skip
    submit.run(sc, Config(sc, args))
    lines = (small.folder / "result").read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == ["accuracy", "loss"]
    assert float(lines[0].split(": ")[1]) > 0.8


def test_weights_alone_are_where_a_training_begins(
    sc: Any, small: SmallSet, capsys: pytest.CaptureFixture[str]
) -> None:
    """... at iteration 0, unlike with a state; the driver says what they have for the net."""
    model = small.folder / "m.caffemodel"
    conf = Config(sc, {"conf": small.solver(max_iter=40), "model": model})
    first = CaffeOnSpark(sc).train(DataSource.getSource(conf, True)).metrics.rows
    conf = Config(sc, {"conf": small.solver(max_iter=2), "model": small.folder / "n.caffemodel",
                       "weights": model})  # fmt: skip
    second = CaffeOnSpark(sc).train(DataSource.getSource(conf, True)).metrics.rows
    told = f"{model}: weights for 2 of the net's 2 layers that have any, 4 blobs"
    assert told in capsys.readouterr().err.splitlines()
    assert second[0]["iteration"] == 0
    assert second[0]["loss"] < first[0]["loss"] / 3
