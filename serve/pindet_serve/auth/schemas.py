"""What the sign-in routes take and give."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pindet_serve.api.signs import whole_signs
from pindet_serve.auth.passwords import LONGEST, SHORTEST
from pindet_serve.auth.principal import Role
from pindet_serve.auth.users import User

Text = Annotated[str, AfterValidator(whole_signs)]


class SignInForm(BaseModel):
    """Name and password, as OAuth2 sends them (RFC 6749, password flow)."""

    username: Text = Field(description="name of the user")
    password: Text = Field(description="password of the user")
    grant_type: Literal["password"] = Field("password", description="always password; may be absent")
    scope: str = Field("", description="not used: the role says what is allowed")
    client_id: str | None = Field(None, description="not used")
    client_secret: str | None = Field(None, description="not used")


class TokenAnswer(BaseModel):
    """A token (OAuth2, RFC 6749)."""

    access_token: str = Field(description="send it as Authorization: Bearer …")
    token_type: str = Field("bearer", description="always bearer")
    expires_in: int = Field(description="seconds until it ends")
    role: Role = Field(description="what the user may do")


class TicketAnswer(BaseModel):
    """A ticket for one socket."""

    ticket: str = Field(description="append it to the address of the socket: ?ticket=…")
    expires_in: int = Field(description="seconds within which the socket must be opened")


class Me(BaseModel):
    """Who is signed in."""

    name: str = Field(description="name of the user; anonymous while sign-in is off")
    role: Role = Field(description="what the user may do")
    sign_in: bool = Field(description="whether this server has sign-in at all")


class UserAnswer(BaseModel):
    """A user, without secrets."""

    name: str = Field(description="name of the user")
    role: Role = Field(description="what the user may do")
    enabled: bool = Field(description="whether the user may sign in")
    created_ms: int = Field(description="when it was made, milliseconds since 1970")

    @classmethod
    def of(cls, user: User) -> UserAnswer:
        """From a stored user."""
        return cls(name=user.name, role=user.role, enabled=user.enabled, created_ms=user.created_ms)


class NewUser(BaseModel):
    """A user to be added."""

    model_config = ConfigDict(extra="forbid", strict=True)  # 0 is no false
    name: str = Field(min_length=1, max_length=64, description="letters, digits and ._@-")
    password: str = Field(min_length=SHORTEST, max_length=LONGEST, description="not the name")
    role: Role = Field("viewer", description="what the user may do")


class UserChange(BaseModel):
    """What to change; what is absent stays. Tokens of before become invalid."""

    model_config = ConfigDict(extra="forbid", strict=True)  # 0 is no false
    password: str | None = Field(None, min_length=SHORTEST, max_length=LONGEST, description="new password")
    role: Role | None = Field(None, description="new role")
    enabled: bool | None = Field(None, description="whether the user may sign in")
