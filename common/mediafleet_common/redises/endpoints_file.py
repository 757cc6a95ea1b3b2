"""The file by which the chart hands declared Redises to operator and desk."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from mediafleet_common.api.reading import words
from mediafleet_common.redises.endpoints import RedisEndpoint, RedisesFile
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.small_files import read_small_text


def read_endpoints(file: Path | None) -> tuple[RedisEndpoint, ...]:
    """The endpoints in a file; none without one.

    Raises:
        CannotStartError: it cannot be read; the text names each problem.
    """
    if file is None:
        return ()
    option = f"--redis-endpoints {file}"
    try:
        text = read_small_text(file)
    except OSError as error:
        raise CannotStartError(f"{option}: {error.strerror}") from error
    return endpoints_in(text, option)


def endpoints_in(text: str, option: str) -> tuple[RedisEndpoint, ...]:
    """The endpoints in a text; `option` is where it is from.

    Raises:
        CannotStartError: it cannot be read; the text names each problem.
    """
    try:
        content = yaml.safe_load(text) or {}
        return tuple(RedisesFile.model_validate(content).endpoints)
    except yaml.YAMLError as error:
        raise CannotStartError(f"{option}: it is no YAML") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {words(each)}" for each in error.errors()
        )
        raise CannotStartError(f"{option}: {problems}") from None
