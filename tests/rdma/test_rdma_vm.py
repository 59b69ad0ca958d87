"""The script that boots the guest: what it says where it cannot, without booting one."""

import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.rdma import vm


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(vm.platform, "machine", lambda: "x86_64")
    vm.updated.cache_clear()


@pytest.mark.parametrize(("ci", "status"), [("", 3), ("true", 0)])
def test_a_machine_that_cannot_boot_a_guest_says_so_and_fails_no_ci(
    ci: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(vm.platform, "machine", lambda: "riscv64")
    assert vm.main(["true"]) == status
    said = capsys.readouterr().err
    assert said.startswith("vm: NOTHING WAS TESTED OVER RDMA: the guest's kernel is Debian's")


def test_who_is_not_root_is_told_which_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setattr(vm.shutil, "which", lambda name, path=None: found.get(name))
    monkeypatch.setattr(vm.glob, "glob", lambda pattern: ["librxe"])
    monkeypatch.setattr(vm.os, "geteuid", lambda: 1000)
    with pytest.raises(vm.Missing, match="sudo apt-get install cpio iproute2 kmod qemu-system-x86"):
        vm.install()


def test_what_apt_cannot_fetch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its lists have been renewed, once."""
    commands: list[str] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(" ".join(command))
        return subprocess.CompletedProcess(command, 100 * (command[1] == "download"), "", "E: 404")

    monkeypatch.setattr(vm.subprocess, "run", run)
    monkeypatch.setattr(vm.os, "geteuid", lambda: 0)
    with pytest.raises(vm.Missing, match="apt-get download busybox-static failed: E: 404"):
        vm.fetched("busybox-static")
    download = "apt-get download -qq busybox-static"
    assert commands == [download, "apt-get update -qq", download]
    with pytest.raises(vm.Missing, match="apt knows no linux-image-amd64"):
        vm.kernel_name()


def test_a_pyverbs_of_another_python_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "usr/lib/python3/dist-packages"
    (folder / "pyverbs").mkdir(parents=True)
    built = folder / "pyverbs/device.cpython-399-x86_64-linux-gnu.so"
    built.touch()
    monkeypatch.setattr(vm, "unpacked", lambda package: tmp_path)
    with pytest.raises(vm.Missing, match=f"cpython-399.*is Python {platform.python_version()}"):
        vm.pyverbs()
    ours = vm.sys.version_info
    built.rename(built.with_name(f"device.cpython-{ours.major}{ours.minor}-x86_64-linux-gnu.so"))
    assert vm.pyverbs() == folder


def test_a_folder_that_somebody_else_has_made_is_taken(tmp_path: Path) -> None:
    for name in ("made", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    vm.keep(tmp_path / "made", tmp_path / "there")
    assert (tmp_path / "there/file").read_text() == "there"
    vm.keep(tmp_path / "made", tmp_path / "new")
    assert (tmp_path / "new/file").read_text() == "made"
