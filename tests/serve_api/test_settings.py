"""Settings come from flags, then the environment; what could not be served safely stops the start."""

from pathlib import Path

import pytest
from pindet_serve.settings import Settings, SettingsError, read_settings

SECRET = "0f9d2c4b6a8e1735f0b1c2d3e4a59687"


def test_a_flag_wins_over_the_environment_and_that_over_the_default():
    seen = read_settings({"PINDET_PORT": "1", "PINDET_MAX_BATCH": "3", "PINDET_STATE": "/s"}, ["--port", "2"])
    assert (seen.port, seen.max_batch, seen.queue_size, seen.state) == (2, 3, 64, Path("/s"))


def test_customary_names_and_an_empty_variable():
    environment = {"JWT_SECRET": SECRET, "LOG_LEVEL": "WARNING", "REDIS_URL": "", "PINDET_ACCEPT_CLASSES": "Yes"}
    seen = read_settings(environment)
    assert (seen.jwt_secret, seen.log_level, seen.redis_url, seen.accept_classes) == (SECRET, "warning", "", True)


def test_secrets_have_no_flag():
    with pytest.raises(SystemExit):
        read_settings({}, ["--jwt-secret", SECRET])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_secret(host):
    assert Settings(host=host).jwt_secret == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "server.local", "127.0.0.1.evil"])
def test_any_other_address_does(host):
    with pytest.raises(SettingsError, match="set JWT_SECRET"):
        Settings(host=host)
    assert Settings(host=host, jwt_secret=SECRET).host == host


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jwt_secret": "short"}, "5 characters; at least 32"),
        ({"jwt_secret": "change-me-" * 4}, "placeholder"),
        ({"jwt_secret": "a" * 40}, "placeholder"),
        ({"queue_size": 0}, "queue_size is 0; it must be at least 1"),
        ({"port": 70000}, "port is 70000"),
        ({"mlflow_url": "javascript:alert(1)"}, "must begin with /, http:// or https://"),
        ({"engine": "tensorflow"}, "engine is 'tensorflow'; allowed are auto, onnxruntime"),
        ({"log_level": "loud"}, "allowed are debug"),
    ],
)
def test_what_can_not_be_served_is_named(changes, message):
    with pytest.raises(SettingsError, match=message):
        Settings(**changes)


def test_a_value_that_is_no_number_is_named():
    with pytest.raises(SettingsError, match="PINDET_PORT is 'http'; a number"):
        read_settings({"PINDET_PORT": "http"})
    with pytest.raises(SettingsError, match="--accept-classes is 'perhaps'; true or false"):
        read_settings({}, ["--accept-classes", "perhaps"])
