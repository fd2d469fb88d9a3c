"""The tables. Times are milliseconds since 1970 (UTC), which every database orders and divides alike."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column of its own type.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

detections = Table(
    "detections",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("request_id", String(64), nullable=False, index=True),
    Column("source", String(64), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("model_md5", String(64), nullable=False),
    Column("image_name", String(255)),
    Column("image_width", Integer, nullable=False),
    Column("image_height", Integer, nullable=False),
    Column("objects", Integer, nullable=False),
    Column("elapsed_ms", Float, nullable=False),
    Column("detections", JSON, nullable=False),
)

detected_classes = Table(
    "detected_classes",
    metadata,
    Column("detection_id", _NUMBER, ForeignKey("detections.id", ondelete="CASCADE"), primary_key=True),
    Column("label", String(255), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("objects", Integer, nullable=False),
    Column("score_sum", Float, nullable=False),
    Index("ix_detected_classes_at_ms_label", "at_ms", "label"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(255), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("details", JSON, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
