"""Every command takes the flags of glog and gflags, as Caffe's programs do."""

from pathlib import Path

import pytest

from minicaffe.cli import main


@pytest.fixture(autouse=True)
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    Path("net.prototxt").write_text('layer { name: "d" type: "Input" top: "x" }')


@pytest.mark.parametrize(
    "flags",
    ["--logtostderr=1", "-alsologtostderr", "-nolog_prefix", "--log_dir=./log", "--minloglevel=1",
     "-minloglevel 1", "-v=1", "-v 2", "--stderrthreshold=0", "-colorlogtostderr=false",
     "-vmodule solver=2", "-max_log_size=10", "-logbufsecs 0"],
)  # fmt: skip
@pytest.mark.parametrize("before", [True, False])
def test_they_are_taken(flags: str, before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["upgrade_net_proto_text", "net.prototxt", "out.prototxt"]
    words = [*flags.split(), *command] if before else [*command, *flags.split()]
    assert main(words) == 0, capsys.readouterr().err


def logged(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a test of a net that does not exist logs before it fails: which device it uses."""
    main([*words.split(), "time", "-model", "net.prototxt", "-iterations", "1"])
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("", True),
        ("-minloglevel=1", False),
        ("-minloglevel 0", True),
        ("-alsologtostderr=0", False),
        ("-noalsologtostderr -stderrthreshold=0", True),
        ("-noalsologtostderr -logtostderr", True),
        ("-stderrthreshold=3", True),  # Caffe's tools log to standard error too
    ],
)
def test_they_say_what_standard_error_shows(
    words: str, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ("Use CPU." in logged(words, capsys)) is shown


def test_a_folder_gets_a_file_and_a_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").mkdir()
    assert "Use CPU." in logged("-log_dir log", capsys)
    assert "Use CPU." in (tmp_path / "log" / "minicaffe.INFO").read_text()
    assert "Use CPU." in logged("-log_dir=log", capsys)
    assert len(list((tmp_path / "log").glob("minicaffe.*.log.INFO.*"))) >= 1
    assert "no log is written to gone: No such file" in logged("-log_dir gone", capsys)


def test_a_file_of_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flags").write_text("# a comment\n\n-minloglevel=1\n  --flagfile=more  \n")
    (tmp_path / "more").write_text("-nosuch\n")
    assert main(["-flagfile=flags", "summary", "-model", "net.prototxt"]) == 2
    assert "unrecognized arguments: -nosuch" in capsys.readouterr().err
    (tmp_path / "more").write_text("-model=net.prototxt\n")
    assert main(["summary", "--flagfile", "flags"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("-minloglevel=much", "-minloglevel=much: a whole number is expected"),
        ("-minloglevel", "-minloglevel: a value is expected"),
        ("-logtostderr=maybe", "-logtostderr=maybe: true or false is expected"),
        ("-flagfile=", "-flagfile: a file is expected"),
        ("-flagfile=loop", "loop: more than 10 files name each other"),
        ("-flagfile=bad", "bad:1: a flag is expected, not 'train'"),
    ],
)
def test_wrong_ones_are_one_sentence(
    tmp_path: Path, words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").write_text("-flagfile=loop")
    (tmp_path / "bad").write_text("train\n")
    assert main(["summary", *words.split()]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
