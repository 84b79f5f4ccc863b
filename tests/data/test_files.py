import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError, WeightsError
from data.files import (
    atomic_output,
    data_home,
    network_file_system,
    printable,
    private_folder,
    read_regular,
    sha256_of,
    write_atomic,
)


@given(st.text(alphabet=st.characters()))
def test_any_name_fits_on_one_line(name: str):
    assert printable(name).isprintable()
    assert len(printable(name)) <= 161


def test_ordinary_names_are_shown_as_they_are():
    assert printable("Zoë/Фото №1 (2).jpg") == "Zoë/Фото №1 (2).jpg"
    assert printable("a\nb\u202ec\udcff") == r"a\nb\u202ec\udcff"


def test_the_data_home_is_what_was_named_most_closely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIKENESS_HOME", str(tmp_path / "environment"))
    assert data_home(tmp_path / "override") == tmp_path / "override"
    assert data_home() == tmp_path / "environment"
    monkeypatch.delenv("LIKENESS_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert data_home().name == "likeness"
    assert list(tmp_path.iterdir()) == []  # asking creates nothing


def test_a_home_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArgumentError, match="is a file"):
        data_home(tmp_path / "file")
    monkeypatch.setenv("LIKENESS_HOME", str(tmp_path / "file"))
    with pytest.raises(ArgumentError, match="is a file"):
        data_home()


@pytest.mark.parametrize("below", ["x", "x/y"])
def test_a_home_below_a_file_is_not_taken_for_one_yet_to_be_made(tmp_path: Path, below: str):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArgumentError, match=r"lies below .*/file, which is a file: name a folder"):
        data_home(tmp_path / "file" / below)
    assert data_home(tmp_path / "folder" / below) == tmp_path / "folder" / below


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert data_home(Path("here")) == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_home(Path("~/there")) == tmp_path / "there"


def test_new_folders_are_private_and_old_ones_stay(tmp_path: Path):
    tmp_path.chmod(0o755)
    folder = tmp_path / "a" / "b" / "c"
    assert private_folder(folder) == folder
    assert private_folder(folder) == folder
    for made in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_that_cannot_be_made_is_a_bad_argument(tmp_path: Path):
    (tmp_path / "file").touch()
    for name in ("file", "file/below", "a\0b", "x" * 300):
        with pytest.raises(ArgumentError, match="cannot create the folder"):
            private_folder(tmp_path / name)


def test_a_write_replaces_the_whole_and_is_private(tmp_path: Path):
    path = tmp_path / "a.bin"
    write_atomic(path, b"old and longer")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name_can_be_written(tmp_path: Path):
    path = tmp_path / ("x" * 251 + ".bin")
    write_atomic(path, b"1")
    assert path.read_bytes() == b"1"


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("exists", [False, True])
def test_whatever_fails_the_old_state_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, exists: bool
):
    path = tmp_path / "a.bin"
    if exists:
        path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(*((Path, call, fail) if call == "replace" else (os, call, fail)))
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"old"] if exists else [])


def test_a_writer_that_is_interrupted_leaves_nothing(tmp_path: Path):
    path = tmp_path / "a.png"

    def interrupted() -> None:
        with atomic_output(path) as temporary:
            assert temporary.suffix == ".png"
            assert temporary.parent == tmp_path
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path):
    outside, link = tmp_path / "outside", tmp_path / "link"
    outside.write_text("keep")
    link.symlink_to(outside)
    write_atomic(link, b"new")
    assert outside.read_text() == "keep"
    assert link.read_bytes() == b"new"


def test_the_file_reaches_the_disk_before_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("fsync folder" if is_folder else "fsync file")
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write_atomic(tmp_path / "a", b"1")
    assert steps == ["fsync file", "rename", "fsync folder"]


def test_a_digest_is_the_same_for_a_file_and_its_content(tmp_path: Path):
    content = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert sha256_of(content) == sha256_of(tmp_path / "a") == sha256_of(str(tmp_path / "a"))
    assert sha256_of(content) == expected


def test_a_careful_read_gives_the_content_or_the_error_asked_for(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "a", error=WeightsError, most_bytes=5) == b"12345"
    with pytest.raises(WeightsError, match="5 bytes; at most 4"):
        read_regular(tmp_path / "a", error=WeightsError, most_bytes=4)
    for refused in (tmp_path / "pipe", tmp_path):
        with pytest.raises(WeightsError):
            read_regular(refused, error=WeightsError)
    with pytest.raises(ArgumentError):
        read_regular(tmp_path / "missing", error=WeightsError)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ann/gallery", "nfs4"),
        ("/home/ann", "nfs4"),
        ("/home/annette/gallery", None),
        ("/mnt/a b/gallery", "fuse.sshfs"),
        ("/srv/gallery", None),
        ("/home/ann/local/gallery", None),
        ("/home/Zoë/Bilder/gallery", "cifs"),
        ("/home/Zoë", None),
        ("/media/tab\there\\new\nline/gallery", "virtiofs"),
        ("/media/写真\u3000\u2028\x85家/gallery", "fuse.onedrive"),
        ("/media/\udcff\udce9/gallery", "9p"),  # of bytes that are no UTF-8
        ("/media/\\134/gallery", "vboxsf"),
        ("/data/a - b/gallery", "ceph"),
    ],
)
def test_a_network_file_system_is_noticed_by_the_nearest_mount(
    tmp_path: Path, path: str, kind: str | None
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /home/ann rw shared:1 - nfs4 server:/home/ann rw\n"
        "31 30 8:2 / /home/ann/local rw - xfs /dev/sdb rw\n"
        "32 22 0:41 / /mnt/a\\040b rw - fuse.sshfs somebody@host: rw\n"
        "33 22 0:42 / /srv rw - overlay overlay rw\n"
        "34 22 0:43 / /home/Zoë/Bilder rw shared:2 master:1 - cifs //server/Bilder rw\n"
        "35 22 0:44 / /media/tab\\011here\\134new\\012line rw - virtiofs host rw\n"
        "36 22 0:45 / /media/写真\u3000\u2028\x85家 rw - fuse.onedrive OneDrive rw\n"
        "37 22 0:46 / /media/\udcff\udce9 rw - 9p C:\\134 rw\n"
        "38 22 0:47 / /media/\\134134 rw - vboxsf Downloads rw\n"
        "39 22 0:48 / /data/a\\040-\\040b rw - ceph a - b rw\n"
        "40 22 0:49 / /data/a rw - ext4 - rw\n"
        "odd\n"
        "41 22 0:50 / /home/ann rw - \n".encode("utf-8", "surrogateescape")
    )
    assert network_file_system(Path(path), mounts) == kind
    assert network_file_system(Path(path), tmp_path / "none") is None


@pytest.mark.parametrize(
    ("kinds", "shared"),
    [
        ("nfs nfs3 nfs4 cifs smb3 smbfs afs coda davfs ceph glusterfs lustre gpfs beegfs", True),
        ("ocfs2 gfs2 9p virtiofs vboxsf vmhgfs prl_fs drvfs grpcfuse fuse", True),
        ("fuse.sshfs fuse.juicefs fuse.moosefs fuse.mfs fuse.onedriver fuse.vmhgfs-fuse", True),
        ("fuse.rclone fuse.s3fs fuse.gcsfuse fuse.blobfuse2 fuse.mount-s3 fuse.dbxfs", True),
        ("fuse.gvfsd-fuse fuse.kio-fuse fuse.JuiceFS:a.b fuse.something-of-next-year", True),
        ("ext4 xfs btrfs zfs f2fs vfat exfat ntfs3 apfs hfsplus tmpfs overlay ecryptfs", False),
        ("fuseblk fuse.ntfs-3g fuse.gocryptfs fuse.encfs fuse.mergerfs fuse.portal", False),
        ("fuse.fuse-overlayfs squashfs nfsd autofs bcachefs nilfs2 ramfs", False),
    ],
)
def test_what_another_machine_may_write_to_is_told_from_what_it_cannot(
    tmp_path: Path, kinds: str, shared: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    for kind in kinds.split():
        mounts.write_text(f"22 1 8:1 / / rw - {kind} source rw\n")
        assert network_file_system(Path("/gallery"), mounts) == (kind if shared else None)
