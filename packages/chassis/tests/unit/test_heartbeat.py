"""One heartbeat for several loops."""

from pathlib import Path

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


def test_without_a_file_it_does_nothing() -> None:
    (only,) = JointHeartbeat(None, 1).parts
    only.touch()
    only.set_connected(True)
