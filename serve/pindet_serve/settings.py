"""What the server is told: by flags, else by the environment, else by the defaults here."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from pindet_serve.fetching.allowed import AllowList
from pindet_serve.serving.cpus import usable_cpus

RUNS_ON = {
    "auto": ("auto", "cpu", "cuda", "tensorrt"),
    "onnxruntime": ("auto", "cpu", "cuda", "tensorrt"),
    "openvino": ("auto", "cpu"),
    "torch": ("auto", "cuda"),
}
ENGINES, DEVICES = tuple(RUNS_ON), RUNS_ON["auto"]
PRECISIONS = ("full", "half", "int8")
RUN_IN = {"half": "openvino", "int8": "onnxruntime"}
"""What runs a precision that is not the engine's own, always on the CPU."""
LOG_LEVELS = ("debug", "info", "warning", "error")
STATE = Path(".pindet/serve")
SHORTEST_SECRET = 32
PLACEHOLDERS = ("change", "secret", "example", "placeholder", "password", "xxxx")


class SettingsError(ValueError):
    """A setting that the server can not start with; the message names it."""


def check_secret(name: str, value: str) -> None:
    """Refuse a secret that could be guessed.

    Raises:
        SettingsError: it is short, or looks like a placeholder.
    """
    if len(value) < SHORTEST_SECRET:
        raise SettingsError(f"{name} has {len(value)} characters; at least {SHORTEST_SECRET} needed")
    if any(word in value.lower() for word in PLACEHOLDERS) or len(set(value)) < 8:
        raise SettingsError(f"{name} looks like a placeholder; make one with: openssl rand -hex 32")


def _setting(default: Any, text: str, name: str = "", *, flag: bool = True) -> Any:
    return field(default=default, metadata={"help": text, "env": name, "flag": flag})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one server; each is read from ``--its-name``, else from ``PINDET_ITS_NAME``.

    Those with a customary name of their own (``JWT_SECRET``) are read under that; secrets have no flag, because
    command lines are readable by every user of a machine.

    Raises:
        SettingsError: a value outside what is allowed, or an open address without sign-in.
    """

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8000, "port to listen on; 0 takes a free one")
    source: str = _setting(".", "project folder with dvc.lock, release file (.json), or s3://bucket/key.json")
    state: Path = _setting(STATE, "folder for fetched bundles, jobs and history")  # noqa: RUF009 - it is a field
    jobs: str = _setting("", "folder of jobs, which servers on one Redis may share; without it jobs/ in state")
    follow_s: float = _setting(5.0, "seconds between looks at a release file for another release; 0 never looks")
    accept_classes: bool = _setting(False, "serve a release whose class names differ from the last one's")
    engine: str = _setting("auto", f"one of {', '.join(ENGINES)}")
    device: str = _setting("auto", f"one of {', '.join(DEVICES)}; a device that is missing stops the start")
    precision: str = _setting(
        "full", "full: the engine's own; on a CPU also half: 16 bits in OpenVINO, and int8: the bundle's 8-bit model"
    )
    threads: int = _setting(0, "CPU threads; 0 takes every core, in a container those that it is given")
    max_batch: int = _setting(2, "most images in one inference; ONNX Runtime on a CPU runs each on its own")
    max_wait_ms: float = _setting(0.0, "how long an inference waits for more images")
    queue_size: int = _setting(64, "most images accepted and not yet answered; beyond it 503")
    deadline_s: float = _setting(10.0, "an image still waiting after that is not inferred any more; its answer is 503")
    max_body_mb: float = _setting(32.0, "largest request body, in MiB")
    max_bodies_mb: float = _setting(256.0, "most bytes of all bodies in memory at once, in MiB; beyond it 503")
    max_job_mb: float = _setting(1024.0, "largest input of a background job, in MiB")
    max_megapixels: float = _setting(50.0, "largest image, in millions of pixels")
    max_images: int = _setting(32, "most images in one request")
    body_timeout_s: float = _setting(30.0, "longest time for a body to come; for a job's, between two parts of it")
    url_hosts: str = _setting(
        "", "hosts that images may be fetched from by URL, with commas between: names, and networks that are not public"
    )
    url_timeout_s: float = _setting(5.0, "longest time for fetching one image by URL")
    drain_s: float = _setting(20.0, "how long requests may go on after SIGTERM")
    log_level: str = _setting("info", f"one of {', '.join(LOG_LEVELS)}", "LOG_LEVEL")
    jwt_secret: str = _setting("", "signs the tokens; without it sign-in is off", "JWT_SECRET", flag=False)
    jwt_secret_previous: str = _setting(
        "", "a former JWT_SECRET whose tokens are still good", "JWT_SECRET_PREVIOUS", flag=False
    )
    release_secret: str = _setting(
        "", "signs wishes for releases, which the release agent carries out; without it none are taken",
        "RELEASE_SECRET", flag=False,
    )  # fmt: skip
    admin_user: str = _setting("", "administrator to make if there is no user at all", flag=False)
    admin_password: str = _setting("", "password of that administrator", flag=False)
    token_minutes: float = _setting(60.0, "how long a sign-in lasts")
    allowed_origins: str = _setting("", "web origins, with commas between, whose pages and names may ask here")
    mlflow_url: str = _setting(
        "", "where browsers find MLflow: an address, or a path of the page's; without it where trainings found it"
    )
    redis_url: str = _setting("", "status bus on Redis; without it the bus is in memory", "REDIS_URL", flag=False)
    redis_password: str = _setting("", "password of the Redis bus", "REDIS_PASSWORD", flag=False)
    detection_days: float = _setting(30.0, "how long history is kept; 0 keeps all")
    audit_days: float = _setting(365.0, "how long it is kept who did what; 0 keeps all")
    database_url: str = _setting("", "history in PostgreSQL; without it SQLite in state", "DATABASE_URL", flag=False)

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        choices = {"engine": ENGINES, "device": DEVICES, "precision": PRECISIONS, "log_level": LOG_LEVELS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; allowed are {', '.join(allowed)}")
        if self.device not in (allowed := RUNS_ON[self.engine]):
            raise SettingsError(f"device is {self.device!r}; engine {self.engine} runs on {', '.join(allowed)}")
        engine = RUN_IN.get(self.precision, self.engine)
        if engine != self.engine != "auto" or (self.precision in RUN_IN and self.device not in ("auto", "cpu")):
            raise SettingsError(
                f"precision is {self.precision!r}, engine {self.engine!r} and device {self.device!r}; {self.precision} "
                f"runs with engine {engine} on device cpu"
            )
        if self.max_bodies_mb < self.max_body_mb:
            raise SettingsError(f"max_bodies_mb is {self.max_bodies_mb}; max_body_mb, {self.max_body_mb}, is least")
        try:
            AllowList(self.url_hosts)
        except ValueError as error:
            raise SettingsError(f"url_hosts is {self.url_hosts!r}: {error}") from None
        if self.mlflow_url and not self.mlflow_url.startswith(("/", "http://", "https://")):
            raise SettingsError(f"mlflow_url is {self.mlflow_url!r}; it must begin with /, http:// or https://")
        if self.port > 65535:
            raise SettingsError(f"port is {self.port}; 0 to 65535 is allowed")
        self._check_secret()
        if self.release_secret:
            check_secret("RELEASE_SECRET", self.release_secret)

    def _check_secret(self) -> None:
        if not self.jwt_secret:
            if not _is_loopback(self.host):
                raise SettingsError(
                    f"host is {self.host}, which others can reach, and sign-in is off; set JWT_SECRET, or use 127.0.0.1"
                )
            return
        check_secret("JWT_SECRET", self.jwt_secret)

    @property
    def max_body_bytes(self) -> int:
        """The largest request body, in bytes."""
        return int(self.max_body_mb * 2**20)

    @property
    def max_bodies_bytes(self) -> int:
        """All request bodies together, in bytes."""
        return int(self.max_bodies_mb * 2**20)

    @property
    def follows(self) -> bool:
        """Whether another release is served as soon as there is one; a workspace changes while its stages run."""
        return self.follow_s > 0 and self.source.endswith(".json")

    @property
    def cores(self) -> int:
        """How many cores inference takes: as many as were asked for, else all that there are for this process."""
        return self.threads or usable_cpus()

    @property
    def origins(self) -> list[str]:
        """The further web origins, one by one."""
        return [origin.strip() for origin in self.allowed_origins.split(",") if origin.strip()]

    @property
    def max_job_bytes(self) -> int:
        """The largest input of a job, in bytes."""
        return int(self.max_job_mb * 2**20)

    @property
    def max_pixels(self) -> int:
        """The largest image, in pixels."""
        return int(self.max_megapixels * 1e6)


_LEAST = {
    "port": 0, "threads": 0, "max_batch": 1, "max_wait_ms": 0, "queue_size": 1, "deadline_s": 0.01, "drain_s": 0,
    "token_minutes": 1, "detection_days": 0, "audit_days": 0,
    "max_body_mb": 0.001, "max_job_mb": 0.001, "max_megapixels": 0.001, "max_images": 1, "body_timeout_s": 0.1,
    "url_timeout_s": 0.1, "follow_s": 0,
}  # fmt: skip


def read_settings(environment: Mapping[str, str], arguments: Sequence[str] = ()) -> Settings:
    """Read the settings from flags and, where a flag is absent, from the environment.

    An empty variable counts as absent. ``LOG_LEVEL`` may be in capitals.

    Raises:
        SettingsError: a value that can not be read or is not allowed.
        SystemExit: an unknown flag, or ``--help``.
    """
    types = get_type_hints(Settings)
    parser = argparse.ArgumentParser("pindet-serve", description="Serves the detector that DVC pinned.")
    values: dict[str, Any] = {}
    for item in fields(Settings):
        variable = item.metadata["env"] or f"PINDET_{item.name.upper()}"
        if text := environment.get(variable):
            values[item.name] = _parsed(variable, text, types[item.name])
        if item.metadata["flag"]:
            default = "" if item.default in ("", False) else f" (default {item.default})"
            text = f"{item.metadata['help']}{default}; {variable}"
            parser.add_argument(f"--{item.name.replace('_', '-')}", help=text)
    for name, text in vars(parser.parse_args(arguments)).items():
        if text is not None:
            values[name] = _parsed(f"--{name.replace('_', '-')}", text, types[name])
    return Settings(**values)


def _parsed(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise SettingsError(f"{name} is {text!r}; true or false is allowed")
        return _BOOLEANS[text.lower()]
    try:
        return kind(text.lower() if name.lower().endswith("log_level") else text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; a number ({kind.__name__}) is allowed") from None


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
