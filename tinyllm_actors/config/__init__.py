"""Configuration: `tinyllm.yaml`, and the environment over it.

```yaml
LLM_PROVIDERS:
  OPENAI_API_KEY: ""
LANGFUSE:
  LANGFUSE_PUBLIC_KEY: ""
  LANGFUSE_SECRET_KEY: ""
POSTGRES:
  USERNAME: ""
  PASSWORD: ""
  HOST: ""
  PORT:
  NAME: ""
```

The file is the one that `TINYLLM_CONFIG_PATH` names; else the first `tinyllm.yaml` of the working directory, the home
directory and its `Documents`. Nothing is read when the package is imported: adapters ask when they need a key, and an
explicit option comes first, then the environment, then the file. Empty values are no values.

| section | keys | in the environment |
|---|---|---|
| `LLM_PROVIDERS` | a provider's own names: `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `ANTHROPIC_API_KEY` … | the same |
| `LANGFUSE` | `LANGFUSE_PUBLIC_KEY`, `LANGFUSE_SECRET_KEY`, `LANGFUSE_HOST` | the same |
| `POSTGRES` | `USERNAME`, `PASSWORD`, `HOST`, `PORT`, `NAME` | `POSTGRES_USERNAME` … |

A key that means nothing is an error which names the nearest one that does. `tinyllm-actors config check` says whether
the file is right, `tinyllm-actors config show` what holds and where it comes from, with secrets masked.

It needs two packages: `pip install 'tinyllm_actors[config]'`; without a file it needs none.
"""

from tinyllm_actors.config.loading import load_settings
from tinyllm_actors.config.lookup import file_secrets, file_setting, postgres_url, setting
from tinyllm_actors.config.search import CONFIG_VARIABLE, FILE_NAME, find_config_file

__all__ = [
    "CONFIG_VARIABLE",
    "FILE_NAME",
    "file_secrets",
    "file_setting",
    "find_config_file",
    "load_settings",
    "postgres_url",
    "setting",
]
