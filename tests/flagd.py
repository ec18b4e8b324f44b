"""What a client gets for a flag of a flagd definition: OpenFeature's SDK with flagd's provider, reading the file."""

from pathlib import Path

from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason


def evaluated(file: Path, name: str, kind: type[bool] | type[int], user: str = "u-1") -> object:
    """The value for this user, by a client that has just started; None where it is the code's default."""
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(file))
    context = EvaluationContext(targeting_key=user, attributes={"user": user})
    try:
        provider.initialize(context)
        asked = provider.resolve_boolean_details if kind is bool else provider.resolve_integer_details
        return _told([asked(name, default, context) for default in ((False, True) if kind is bool else (-1, -2))])
    finally:
        provider.shutdown()


def _told(answers: list[FlagResolutionDetails[bool]] | list[FlagResolutionDetails[int]]) -> object:
    one, other = answers
    if one.error_code is not None or one.reason in (Reason.DISABLED, Reason.DEFAULT):
        return None
    assert one.value == other.value, "the client's default came through"
    return one.value
