"""What the parts of an agent that know nothing of each other share about language.

Memory, prompting and models are siblings, and each works with messages that it takes as they come: anything that
encodes to the wire form of OpenAI's chat API. Here is what two of them or more need to know of such messages: their
size, what is said in them, and how alike two texts are.
"""

from tinyllm_actors.function.language.answer_size import answer_tokens
from tinyllm_actors.function.language.embedding import EmbedderSource, Embedding, EmbedsTexts
from tinyllm_actors.function.language.said import Said, characters_of, question_of, text_of
from tinyllm_actors.function.language.similarity import cosine, most_similar
from tinyllm_actors.function.language.size import estimate_messages, estimate_tokens

__all__ = [
    "EmbedderSource",
    "Embedding",
    "EmbedsTexts",
    "Said",
    "answer_tokens",
    "characters_of",
    "cosine",
    "estimate_messages",
    "estimate_tokens",
    "most_similar",
    "question_of",
    "text_of",
]
