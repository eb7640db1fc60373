"""What package databases say, and that no file of a stranger's breaks the reader."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.sbom.databases import distribution, matters, may_hide, read
from taskengine.sbom.model import Distribution, Package
from tests.sbom.conftest import ALPINE, APK, DEBIAN, DPKG, rpm_database, rpm_header

RPM = "usr/lib/sysimage/rpm/rpmdb.sqlite"


def test_installed_packages_of_dpkg_are_listed_and_removed_ones_are_not() -> None:
    found = read({"etc/os-release": DEBIAN, "var/lib/dpkg/status": DPKG})
    assert found.distribution == Distribution(id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)")
    assert found.packages == (
        Package(kind="deb", name="bash", version="5.2.15-2+b2", architecture="amd64"),
        Package(kind="deb", name="libc6", version="2.36-9+deb12u4", architecture="amd64", source="glibc"),
    )


def test_a_status_file_is_read_as_dpkg_reads_it() -> None:
    status = """\
Package: adduser
Essential: yes
Status: install ok installed
Architecture: all
Version: 3.134
Description: add and remove users and groups
 This package includes the 'adduser' and 'deluser' commands.
 .
 Status: deinstall ok config-files

Package: libc6
Status: hold ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9+deb12u4

Package: libc6
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2.36-9+deb12u4

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: broken
Status: install ok half-configured
Architecture: amd64
Version: 2:1.0~rc1-1

Package: never
Status: purge ok not-installed
Architecture: amd64

Package: epoch
Status: install ok installed
Architecture: amd64
Version: 1:4.13+dfsg1-1+b1
Conffiles:
 /etc/epoch.conf 0123456789abcdef0123456789abcdef
"""
    found = read({"var/lib/dpkg/status": status.encode()})
    # what `dpkg-query --admindir -W` calls installed in this file
    assert {(one.name, one.version, one.architecture) for one in found.packages} == {
        ("adduser", "3.134", "all"),
        ("epoch", "1:4.13+dfsg1-1+b1", "amd64"),
        ("libc6", "2.36-9+deb12u4", "amd64"),
        ("libc6", "2.36-9+deb12u4", "i386"),
    }


def test_an_image_without_a_package_manager_keeps_one_file_a_package() -> None:
    found = read({"var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12\nArchitecture: all\n"})
    assert found.packages == (Package(kind="deb", name="base-files", version="12", architecture="all"),)


def test_packages_of_apk_carry_origin_and_license() -> None:
    found = read({"etc/os-release": ALPINE, "lib/apk/db/installed": APK})
    assert found.packages == (
        Package(
            kind="apk", name="busybox-binsh", version="1.36.1-r5", architecture="x86_64", source="busybox",
            license="GPL-2.0 only!",
        ),
        Package(kind="apk", name="musl", version="1.2.4-r2", architecture="x86_64", license="MIT"),
    )  # fmt: skip


def test_packages_of_rpm_are_read_from_its_sqlite_file(tmp_path: Path) -> None:
    bash = {
        1000: "bash", 1001: "5.1.8", 1002: "6.el9", 1003: 1, 1014: "GPLv3+", 1022: "x86_64",
        1044: "bash-5.1.8-6.el9.src.rpm", 1004: "not wanted",
    }  # fmt: skip
    key = {1000: "gpg-pubkey", 1001: "8483c65d", 1002: "5ccc5b19"}
    found = read({RPM: rpm_database(tmp_path, rpm_header(bash), rpm_header(key))})
    assert found.packages == (
        Package(
            kind="rpm", name="bash", version="5.1.8-6.el9", architecture="x86_64", epoch="1", license="GPLv3+",
            source="bash-5.1.8-6.el9.src.rpm",
        ),
    )  # fmt: skip
    assert found.gaps == ()


def test_what_rpm_wrote_last_is_read_from_the_log_beside_its_file(tmp_path: Path) -> None:
    rpm_database(tmp_path, rpm_header({1000: "first", 1001: "1"}))
    with closing(sqlite3.connect(tmp_path / "made.sqlite")) as connection:
        connection.execute("INSERT INTO Packages(blob) VALUES (?)", (rpm_header({1000: "last", 1001: "2"}),))
        connection.commit()
        image = {RPM: tmp_path / "made.sqlite", f"{RPM}-wal": tmp_path / "made.sqlite-wal"}
        found = read({path: file.read_bytes() for path, file in image.items()})
    assert [one.name for one in found.packages] == ["first", "last"]
    assert found.databases == (RPM,)


@pytest.mark.parametrize(
    "broken",
    [b"", b"no database", b"SQLite format 3\0" + b"\0" * 4000],
    ids=["empty", "text", "zeros"],
)
def test_an_rpm_database_that_cannot_be_read_is_said(broken: bytes) -> None:
    found = read({RPM: broken})
    assert found.packages == ()
    assert found.databases == ()
    assert RPM in found.gaps[0]


@pytest.mark.parametrize("header", [b"", b"\xff" * 40, rpm_header({1000: "bash"})[:20]])
def test_an_rpm_header_that_is_cut_off_is_said(tmp_path: Path, header: bytes) -> None:
    assert "could not be read" in read({RPM: rpm_database(tmp_path, header)}).gaps[0]


def test_a_form_of_database_that_is_not_read_is_said() -> None:
    found = read({"var/lib/rpm/Packages": b"\0" * 100})
    assert found.gaps == (
        "the package database var/lib/rpm/Packages has a form of older RPM versions, which is not read",
    )


def test_an_image_that_names_no_distribution_has_none() -> None:
    assert distribution(b"") == Distribution()
    assert distribution(b"ID=Evil/../x\nVERSION_ID='1\x1b[31m'\n") == Distribution(id="evil..x", version="1 [31m")


@given(st.binary(max_size=300), st.sampled_from(["var/lib/dpkg/status", "lib/apk/db/installed", "etc/os-release", RPM]))
def test_any_bytes_are_read_or_said(content: bytes, path: str) -> None:
    read({path: content})


def test_only_files_of_databases_matter() -> None:
    assert matters("var/lib/dpkg/status.d/base")
    assert not matters("var/lib/dpkg/status.d/base.md5sums")
    assert not matters("home/var/lib/dpkg/status")
    assert may_hide("var/lib")
    assert may_hide("var/lib/dpkg/status.d/base")
    assert not may_hide("var/lib/dpkg/info")
