"""Loading: files and bytes become documents, in processes that harm nobody when a file does harm."""

from tinyllm_actors.retrieval.loading.beneath import FoundFile, find_files
from tinyllm_actors.retrieval.loading.formats import FORMATS
from tinyllm_actors.retrieval.loading.limits import LoadLimits
from tinyllm_actors.retrieval.loading.loader import Loader
from tinyllm_actors.retrieval.loading.reading import LoadProgress

__all__ = ["FORMATS", "FoundFile", "LoadLimits", "LoadProgress", "Loader", "find_files"]
