"""The types of the configuration. Importing this needs pydantic-settings."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tinyllm_actors.config.names import SECTIONS, variable_of

__all__ = ["LangfuseSettings", "PostgresSettings", "Settings"]

_STRICT = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)


class LangfuseSettings(BaseModel):
    """How to reach Langfuse.

    Attributes:
        public_key: of the project.
        secret_key: of the project.
        host: the server's address; None for Langfuse's own.
    """

    model_config = _STRICT

    public_key: SecretStr | None = Field(default=None, alias="LANGFUSE_PUBLIC_KEY")
    secret_key: SecretStr | None = Field(default=None, alias="LANGFUSE_SECRET_KEY")
    host: str | None = Field(default=None, alias="LANGFUSE_HOST")


class PostgresSettings(BaseModel):
    """How to reach PostgreSQL.

    Attributes:
        username: who connects.
        password: of that user.
        host: where the server is.
        port: on which it listens.
        name: of the database.
    """

    model_config = _STRICT

    username: str | None = Field(default=None, alias="USERNAME")
    password: SecretStr | None = Field(default=None, alias="PASSWORD")
    host: str | None = Field(default=None, alias="HOST")
    port: int | None = Field(default=None, alias="PORT", ge=1, le=65535)
    name: str | None = Field(default=None, alias="NAME")

    def url(self) -> str | None:
        """Return the URL of the database, password included; None without a host."""
        if self.host is None:
            return None
        user = ""
        if self.username is not None:
            password = "" if self.password is None else f":{quote(self.password.get_secret_value(), safe='')}"
            user = f"{quote(self.username, safe='')}{password}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"postgresql://{user}{host}{port}/{quote(self.name or '', safe='')}"


class _Environment(PydanticBaseSettingsSource):
    """The environment variables of all keys, in the shape of the file."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Return nothing: the sections are made as wholes."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the sections."""
        return {
            section: {key: value for key in keys if (value := os.environ.get(variable_of(section, key)))}
            for section, keys in SECTIONS.items()
        }


class Settings(BaseSettings):
    """What is configured: the file, and the environment over it.

    Attributes:
        llm_providers: the keys and addresses of providers, by the names that they have in the environment.
        langfuse: how to reach Langfuse.
        postgres: how to reach PostgreSQL.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    llm_providers: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr], alias="LLM_PROVIDERS")
    langfuse: LangfuseSettings = Field(default_factory=LangfuseSettings, alias="LANGFUSE")
    postgres: PostgresSettings = Field(default_factory=PostgresSettings, alias="POSTGRES")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment come before the file, which is given as the arguments."""
        return _Environment(settings_cls), init_settings
