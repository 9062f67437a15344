# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Zip archives: what is listed, what is refused, and that nothing is written where it says."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from grata_monai.preparation import ArchiveLimits, open_raw


def pack(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def listed(*sources, **options):
    with open_raw(sources, **options) as files:
        return {file.path: file.read() for file in files}


def test_files_of_an_archive_and_of_archives_in_it(tmp_path):
    inner = pack(tmp_path / "inner.zip", {"Training400/g0001.jpg": b"one"}).read_bytes()
    outer = pack(tmp_path / "outer.zip", {"REFUGE2/inner.zip": inner, "REFUGE2/list.csv": b"two"})
    assert listed(outer) == {
        "outer.zip/REFUGE2/inner.zip/Training400/g0001.jpg": b"one",
        "outer.zip/REFUGE2/list.csv": b"two",
    }


def test_archives_in_a_folder_are_opened_and_litter_is_left_out(tmp_path):
    raw = tmp_path / "raw"
    (raw / "__MACOSX").mkdir(parents=True)
    (raw / "sub").mkdir()
    for name in (
        "__MACOSX/a.png",
        "sub/.DS_Store",
        "sub/._a.png",
        "Thumbs.db",
        "x:Zone.Identifier",
    ):
        (raw / name).write_bytes(b"litter")
    (raw / "sub" / "a b ö.png").write_bytes(b"kept")
    pack(
        raw / "more.zip", {"__MACOSX/x/b.png": b"litter", "x/._b.png": b"litter", "x/b.png": b"in"}
    )
    assert listed(raw) == {"sub/a b ö.png": b"kept", "more.zip/x/b.png": b"in"}


def test_backslashes_of_windows_archives_are_folders(tmp_path):
    archive = pack(tmp_path / "w.zip", {"Training400\\Glaucoma\\g0001.jpg": b"x"})
    with open_raw([archive]) as files:
        assert files[0].path == "w.zip/Training400/Glaucoma/g0001.jpg"
        assert files[0].folders == ("training400", "glaucoma")
        assert files[0].read() == b"x"


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:\\evil.png", "a\\..\\..\\e.png"]
)
def test_unsafe_paths_refuse_the_archive(tmp_path, name):
    archive = pack(tmp_path / "evil.zip", {"good.png": b"x", name: b"y"})
    with pytest.raises(ValueError, match=r"evil\.zip holds a file with an unsafe path"):
        listed(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.zip"]


def test_links_in_an_archive_are_left_out(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    link = zipfile.ZipInfo("link.png")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr(link, str(secret))
        archive.writestr("a.png", b"x")
    assert listed(tmp_path / "l.zip") == {"l.zip/a.png": b"x"}


def test_loops_of_links_in_folders_end(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.png").write_bytes(b"x")
    (tmp_path / "raw" / "loop").symlink_to(tmp_path / "raw", target_is_directory=True)
    assert listed(tmp_path / "raw") == {"a.png": b"x"}


def test_links_in_folders_stay_in_them(tmp_path):
    raw = tmp_path / "raw"
    (raw / "sub").mkdir(parents=True)
    (raw / "sub" / "a.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (raw / "inside.png").symlink_to(raw / "sub" / "a.png")
    (raw / "out.png").symlink_to(tmp_path / "secret.png")
    (raw / "gone.png").symlink_to(raw / "nothing.png")
    with open_raw([raw]) as files:
        by_name = {file.path: file for file in files}
        assert by_name["inside.png"].read() == b"x"
        with pytest.raises(OSError, match="link out of the raw folder"):
            by_name["out.png"].read()
        with pytest.raises(OSError, match="link to nothing"):
            by_name["gone.png"].read()
    (raw / "folder").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ValueError, match=r"folder is a link out of the raw folder"):
        listed(raw)


def test_a_bomb_of_archives_is_not_copied(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
        inner.writestr("a.bmp", b"0" * (1 << 25))  # stored, so that the outer one shrinks it
    outer = pack(tmp_path / "outer.zip", {"inner.zip": (tmp_path / "inner.zip").read_bytes()})
    assert outer.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"outer\.zip/inner\.zip would unpack to"):
        listed(outer)
    with pytest.raises(ValueError, match="would unpack to"):
        listed(outer, limits=ArchiveLimits(copied_bytes=1000))
    assert list((tmp_path / "scratch").rglob("*.zip")) == []


def test_a_member_without_a_name(tmp_path):
    assert listed(pack(tmp_path / "dot.zip", {".": b"x", "a.png": b"y"})) == {"dot.zip/a.png": b"y"}


def test_accents_have_one_form(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "u\u0308.png").write_bytes(b"x")
    assert listed(tmp_path / "raw") == {"\u00fc.png": b"x"}


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ArchiveLimits(members=1), "2 files"),
        (ArchiveLimits(member_bytes=10), r"'a\.png' with 5000 bytes"),
        (ArchiveLimits(total_bytes=100), "0 GiB of files"),
    ],
)
def test_limits(tmp_path, limits, reason):
    archive = pack(tmp_path / "big.zip", {"a.png": b"0" * 5000, "b.png": b"1"})
    with pytest.raises(ValueError, match=rf"big\.zip holds {reason}"):
        listed(archive, limits=limits)


def test_a_bomb_is_refused_by_its_ratio(tmp_path, monkeypatch):
    from grata_monai.preparation import archives

    monkeypatch.setattr(archives, "GIB", 100_000)  # so that the bomb need not be a real one
    archive = pack(tmp_path / "bomb.zip", {"a.bmp": b"0" * 1_000_000})
    with pytest.raises(ValueError, match=r"bomb\.zip holds 10\.0 GiB of files in 0\.0"):
        listed(archive)


def test_archives_in_archives_end_somewhere(tmp_path):
    content = b"x"
    name = "a.png"
    for depth in range(5):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, content)
        content, name = buffer.getvalue(), f"{depth}.zip"
    (tmp_path / "deep.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"1\.zip is an archive in more than 2 others"):
        listed(tmp_path / "deep.zip")


def test_encrypted_and_broken_archives(tmp_path):
    archive = pack(tmp_path / "locked.zip", {"a.png": b"x"})
    data = bytearray(archive.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1  # the flag that says encrypted
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"locked\.zip is encrypted"):
        listed(archive)
    (tmp_path / "half.zip").write_bytes(
        pack(tmp_path / "w.zip", {"a": b"x" * 999}).read_bytes()[:80]
    )
    with pytest.raises(ValueError, match=r"half\.zip is neither a folder nor a complete zip"):
        listed(tmp_path / "half.zip")
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "half.zip").rename(folder / "half.zip")
    with pytest.raises(ValueError, match=r"half\.zip is not a complete zip archive"):
        listed(folder)
    outer = pack(tmp_path / "outer.zip", {"in/half.zip": (folder / "half.zip").read_bytes()})
    with pytest.raises(ValueError, match=r"^outer\.zip/in/half\.zip is not a complete zip"):
        listed(outer)


def test_a_broken_member_names_the_archive(tmp_path):
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"content of it")
    archive.write_bytes(archive.read_bytes().replace(b"content", b"c0ntent"))
    with pytest.raises(OSError, match=r"broken in the archive bad\.zip"):
        listed(archive)


def test_missing_source_and_other_archives(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        listed(tmp_path / "nowhere")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(ValueError, match=r"a\.rar is neither a folder nor .* have to be unpacked"):
        listed(tmp_path / "a.rar")
