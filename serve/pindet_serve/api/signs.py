"""What clients call things, as it can be written anywhere."""

from __future__ import annotations


def whole_signs(text: str) -> str:
    """Half a sign (a lone surrogate), which JSON and odd charsets can bring and no encoding takes, becomes �."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
