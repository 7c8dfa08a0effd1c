"""Which keys the configuration file may have. Pure."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import UnknownSetting

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SECTIONS", "check_provider_name", "is_secret_setting", "nearest", "variable_of"]

_PROVIDERS: Final = """
AI21 ALEPH_ALPHA ANTHROPIC ANYSCALE AZURE AZURE_AI BASETEN CEREBRAS CLOUDFLARE CODESTRAL COHERE DASHSCOPE DATAROBOT
DEEPINFRA DEEPSEEK EDENAI FEATHERLESS_AI FIREWORKS FIREWORKSAI FIREWORKS_AI GEMINI GITHUB GOOGLE GROQ HUGGINGFACE
INFINITY JINA_AI LM_STUDIO MISTRAL MOONSHOT NEBIUS NLP_CLOUD NOVITA NVIDIA_NIM OLLAMA OPENAI OPENROUTER PALM
PERPLEXITYAI REPLICATE SAMBANOVA TOGETHERAI VERCEL_AI_GATEWAY VLLM VOLCENGINE VOYAGE WATSONX XAI
""".split()  # noqa: SIM905 - a list of one a line would be longer than the rest of the file
_PROVIDER_KEY: Final = re.compile(r"([A-Z][A-Z0-9_]*?)_(API_KEY|API_TOKEN|API_BASE|API_VERSION|BASE_URL|TOKEN)")

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "LLM_PROVIDERS": (*(f"{provider}_API_KEY" for provider in _PROVIDERS), "OPENAI_BASE_URL", "HF_TOKEN"),
    "LANGFUSE": ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGFUSE_HOST"),
    "POSTGRES": ("USERNAME", "PASSWORD", "HOST", "PORT", "NAME"),
}
"""The keys of each section. `LLM_PROVIDERS` takes those of other providers too, as far as they look like one."""

_TOO_ALIKE: Final = 0.85


def variable_of(section: str, key: str) -> str:
    """Return the environment variable that comes before a key of the file.

    ```python
    >>> variable_of("POSTGRES", "HOST"), variable_of("LLM_PROVIDERS", "OPENAI_API_KEY")
    ('POSTGRES_HOST', 'OPENAI_API_KEY')

    ```
    """
    return f"{section}_{key}" if section == "POSTGRES" else key


def is_secret_setting(key: str) -> bool:
    """Whether a key's value must not be shown.

    ```python
    >>> [is_secret_setting(key) for key in ("OPENAI_API_KEY", "PASSWORD", "HF_TOKEN", "OPENAI_BASE_URL", "HOST")]
    [True, True, True, False, False]

    ```
    """
    return key.endswith(("KEY", "TOKEN", "PASSWORD"))


def nearest(key: str, known: Iterable[str]) -> str | None:
    """Return the known key that is most like `key`, whatever its case, if one is like it."""
    by_fold = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(key.casefold(), by_fold, n=1)
    return by_fold[found[0]] if found else None


def check_provider_name(key: str, file: str) -> None:
    """Accept the key of a provider: a known one, or one that has the form of a key and is no misspelt known one.

    Raises:
        UnknownSetting: it is neither.
    """
    known = SECTIONS["LLM_PROVIDERS"]
    if key in known:
        return
    form = _PROVIDER_KEY.fullmatch(key)
    if form is None:
        raise UnknownSetting(f"LLM_PROVIDERS.{key}", file, nearest(key, known))
    stem = form[1]
    if stem not in _PROVIDERS:
        alike = difflib.get_close_matches(stem, _PROVIDERS, n=1, cutoff=_TOO_ALIKE)
        if alike:
            raise UnknownSetting(f"LLM_PROVIDERS.{key}", file, f"{alike[0]}_{form[2]}")
