"""The ground that all settings stand on: unknown fields are errors, secrets are not printed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from stgcn_deploy.live.redact import redact

__all__ = ["CONFLICT", "EXPECTED", "Checked", "conflict", "matches", "twice"]

# Types of errors: the message says what was expected of one value, or what does not go together.
EXPECTED, CONFLICT = "expected", "conflict"


class Checked(BaseModel):
    """Unknown fields are errors, values do not change, and `repr` shows nothing secret."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any) -> Any:
        # Pydantic takes it for 1.
        for name, one in value.items() if isinstance(value, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(one, bool) and field is not None and field.annotation is not bool:
                raise conflict(f"{name} is {str(one).lower()}, expected something else")
        return value

    def __repr_args__(self) -> Any:
        """Fields for `repr`, addresses without their logins."""
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value


def matches(pattern: str, words: str) -> AfterValidator:
    """Of a text that is like a pattern; `words` say so in errors."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError(EXPECTED, "{words}", {"words": words})
        return text

    return AfterValidator(check)


def conflict(words: str) -> PydanticCustomError:
    """The error of settings that do not go together."""
    return PydanticCustomError(CONFLICT, "{words}", {"words": words})


def twice(values: Iterable[str]) -> str | None:
    """The first value that is there more than once."""
    return next((value for value, count in Counter(values).items() if count > 1), None)
