"""A heartbeat file, and one heartbeat for several loops."""

from pathlib import Path

import pytest

from chassis.heartbeat import HeartbeatFile, JointHeartbeat


def test_it_stands_still_when_one_loop_does(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    first, second = JointHeartbeat(HeartbeatFile(file), 2).parts
    first.touch()
    first.touch()
    assert not file.exists()
    second.touch()
    assert file.exists()
    file.unlink()
    second.touch()
    assert not file.exists()
    first.touch()
    assert file.exists()


def test_it_is_connected_when_all_loops_are(tmp_path: Path) -> None:
    marker = tmp_path / "heartbeat.connected"
    first, second = JointHeartbeat(HeartbeatFile(tmp_path / "heartbeat"), 2).parts
    first.set_connected(True)
    assert not marker.exists()
    second.set_connected(True)
    assert marker.exists()
    first.set_connected(False)
    assert not marker.exists()


def test_the_marker_has_the_whole_name_of_the_file(tmp_path: Path) -> None:
    """Two files that differ in their ends have two markers."""
    HeartbeatFile(tmp_path / "beat.v2").set_connected(True)
    assert (tmp_path / "beat.v2.connected").exists()


def test_without_a_file_it_does_nothing() -> None:
    (only,) = JointHeartbeat(None, 1).parts
    only.touch()
    only.set_connected(True)


def test_a_file_that_cannot_be_written_is_told_once_and_again_after_a_recovery(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    file = HeartbeatFile(folder / "heartbeat")
    for _ in range(3):
        file.touch()
    assert len(caplog.messages) == 1 and "heartbeat file" in caplog.messages[0]
    folder.mkdir()
    file.touch()
    assert (folder / "heartbeat").exists() and len(caplog.messages) == 1
    (folder / "heartbeat").unlink()
    folder.rmdir()
    file.touch()
    file.touch()
    assert len(caplog.messages) == 2


def test_a_marker_that_is_not_there_need_not_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    HeartbeatFile(tmp_path / "heartbeat").set_connected(False)
    assert caplog.messages == []
    HeartbeatFile(tmp_path / "none" / "heartbeat").set_connected(True)
    assert len(caplog.messages) == 1
