from app.rpc.backoff import Backoff


def test_doubles_with_jitter_up_to_the_longest() -> None:
    backoff = Backoff(first=1, longest=10)
    for full in [1, 2, 4, 8, 10, 10]:
        assert full / 2 <= backoff.next_delay() <= full


def test_reset_begins_anew() -> None:
    backoff = Backoff(first=1, longest=10)
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 1
