"""How settings are found: `--flag`, `MILLPOND_FLAG`, `flag` in the TOML file of `--config`, the default; first wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from millpond.errors import WrongUsage

ENV_PREFIX = "MILLPOND_"

S = TypeVar("S", bound="VerbSettings")


class VerbSettings(BaseSettings):
    """What every verb has. Subclasses add theirs; a field `max_age` is `--max-age` and `MILLPOND_MAX_AGE`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
        cli_shortcuts={"json-output": "json"},
    )

    verb: ClassVar[str] = ""
    _file: ClassVar[dict[str, Any]] = {}

    config: Path | None = Field(None, description="TOML file with settings under the names of the flags")
    json_output: bool = Field(False, description="print one JSON document on standard output")
    log_level: str = Field(
        "WARNING", description="DEBUG, INFO, WARNING or ERROR", pattern="^(DEBUG|INFO|WARNING|ERROR)$"
    )
    log_format: str = Field("text", description="text or json", pattern="^(text|json)$")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            told = (field.description or "").split(" [")[0]
            field.description = f"{told} [{ENV_PREFIX}{name.upper()}, in the file {name}]"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=cls._file)

    @classmethod
    def from_flags(cls, flags: Sequence[str]) -> Self:
        """Settings of a command line. `WrongUsage` names what is wrong."""
        return _load(cls, list(flags), _config_of(flags) or _config_of_environment())

    @classmethod
    def from_environment(cls) -> Self:
        """Settings of a container or a function, which has no flags."""
        return _load(cls, None, _config_of_environment())


def _load(cls: type[S], flags: list[str] | None, config: str | None) -> S:
    cls._file = _read(Path(config)) if config else {}
    _refuse_unknown(cls._file, config)
    try:
        if flags is None:
            return cls()
        return cls(_cli_parse_args=flags, _cli_prog_name=f"millpond {cls.verb}")
    except ValidationError as error:
        problems = "; ".join(f"{_flag(e['loc'])}: {_text(e['type'], e['msg'])}" for e in error.errors())
        raise WrongUsage(
            f"the settings are not complete or not valid: {problems}", hint=f"see `millpond {cls.verb} --help`"
        ) from error
    except SettingsError as error:
        raise WrongUsage(f"a setting cannot be read: {error}", hint=f"see `millpond {cls.verb} --help`") from error


def _flag(location: tuple[int | str, ...]) -> str:
    return f"--{str(location[0]).replace('_', '-')}" if location else "settings"


def _text(kind: str, message: str) -> str:
    return "is missing" if kind == "missing" else message


def _config_of(flags: Sequence[str]) -> str | None:
    for at, flag in enumerate(flags):
        if flag.startswith("--config="):
            return flag.removeprefix("--config=")
        if flag == "--config" and at + 1 < len(flags):
            return flags[at + 1]
    return None


def _config_of_environment() -> str | None:
    return os.environ.get(f"{ENV_PREFIX}CONFIG")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        hint = f"check --config or {ENV_PREFIX}CONFIG"
        raise WrongUsage(f"cannot read {path}: {error.strerror}", hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUsage(
            f"{path} is not a TOML file: {error}", hint='a line looks like: archive = "s3://bucket/kafka"'
        ) from error
    return {name.replace("-", "_"): value for name, value in found.items()}


def _refuse_unknown(found: dict[str, Any], config: str | None) -> None:
    """One file may serve several verbs, so a name has to be known to any of them."""
    known = {name for cls in _all(VerbSettings) for name in cls.model_fields}
    unknown = sorted(found.keys() - known)
    if unknown:
        raise WrongUsage(
            f"{config} has settings that no verb knows: {', '.join(unknown)}",
            hint="see `millpond VERB --help` for names",
        )


def _all(cls: type[VerbSettings]) -> list[type[VerbSettings]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _all(sub))]
