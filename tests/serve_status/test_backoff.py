from pindet_serve.status.backoff import Backoff


def test_waits_grow_to_the_longest_with_jitter():
    backoff = Backoff(first=1, longest=10)
    waits = [backoff.next() for _ in range(2000)]

    assert 0.5 <= waits[0] <= 1
    assert 2 <= waits[2] <= 4
    assert all(5 <= wait <= 10 for wait in waits[4:])
    assert max(waits[4:]) - min(waits[4:]) > 4


def test_a_success_starts_over():
    backoff = Backoff(first=1, longest=100)
    for _ in range(5):
        backoff.next()
    backoff.reset()

    assert backoff.next() <= 1
