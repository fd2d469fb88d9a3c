import pytest
from pindet_serve.client import Client, ClientError

PASSWORD = "long enough"


@pytest.fixture
def client(server):
    return Client(server.url, user="anna", password=PASSWORD)


def test_images_are_sent_by_path_and_as_bytes(client, tmp_path):
    path = tmp_path / 'a "quoted" 人.png'
    path.write_bytes(b"x" * 1000)

    answer = client.detect(path, str(path), b"--boundary\r\n\0", classes=["bolt", "人"])

    assert [size for _, size in answer["images"]] == [1000, 1000, 13]
    assert answer["images"][0][0] in ('a "quoted" 人.png', "a %22quoted%22 人.png")
    assert answer["classes"] == ["bolt", "人"]


def test_signing_in_happens_once_and_again_when_the_token_has_ended(client, server, tmp_path):
    (tmp_path / "image").write_bytes(b"x")
    client.detect(tmp_path / "image")
    client.detect(tmp_path / "image")
    assert server.sign_ins == 1
    server.guard.tokens.token_seconds = 3600
    client._http._token = "ended"
    client.detect(tmp_path / "image")

    assert server.sign_ins == 2


def test_what_the_server_refuses_is_raised_with_its_problem(server, client):
    with pytest.raises(ClientError, match="401: name and password do not fit") as refused:
        Client(server.url, user="anna", password="wrong").model()
    assert refused.value.problem["title"] == "Sign-in refused"
    with pytest.raises(ClientError, match="no valid token"):
        Client(server.url).job("7")
    with pytest.raises(ClientError, match="Not Found"):
        client.model()  # not played
    with pytest.raises(ClientError) as busy:
        client.cancel("7")
    assert (busy.value.status, busy.value.retry_after_s) == (503, 7)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(ClientError, match=r"http://127.0.0.1:9 does not answer") as refused:
        Client("http://127.0.0.1:9/").model()
    assert refused.value.status == 0


@pytest.mark.parametrize("url", ["localhost:8000", "file:///etc/passwd", ""])
def test_other_addresses_are_refused(url):
    with pytest.raises(ValueError, match="allowed is http"):
        Client(url)


def test_detecting_nothing_is_refused(client):
    with pytest.raises(ValueError, match="no image was given"):
        client.detect()


def test_a_job_is_sent_awaited_and_read(client, tmp_path):
    video = tmp_path / "video.mp4"
    video.write_bytes(b"v" * 300_000)

    job = client.submit(video)
    finished = client.wait(job["id"], poll_s=0.01)

    assert job == {"id": "7", "size": 300_000}
    assert finished["status"] == "finished"
    assert [line["frame"] for line in client.result("7")] == [0, 1, 2]


def test_a_job_that_fails_or_takes_too_long_is_raised(client, server):
    server.states = iter(["running", "failed"])
    with pytest.raises(ClientError, match="job 7 is failed"):
        client.wait("7", poll_s=0.01)
    server.states = iter(["running"] * 1000)
    with pytest.raises(TimeoutError, match="job 7 is running after"):
        client.wait("7", poll_s=0.01, timeout_s=0.05)
