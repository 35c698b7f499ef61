"""A language model of a megabyte whose weights are random: it writes nonsense, and servers load it like any other.

A GGUF file (version 3) with a llama of two layers and a vocabulary of made-up words and all bytes. Its weights come
from a seed; only how likely a token is was leaned on: the end of an answer after some fifty tokens, closing quotes and
brackets where a grammar allows them, so that a server that keeps to a JSON schema comes to an end of it.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final

WIDTH: Final = 64
HEADS: Final = 4
LAYERS: Final = 2
FEED_FORWARD: Final = 128
CONTEXT_TOKENS: Final = 32_768
WORDS: Final = 320
ALIGNMENT: Final = 32

_LEAN: Final = 8.0  # the first component of every embedding; the last layer's weights on it lean on a token's chance
_SYLLABLES: Final = ("ba", "do", "lu", "mi", "ren", "sa", "to", "vel", "pra", "kin", "sol", "ur")
_SIGNS: Final = (". ", ", ", "! ", "? ", "; ", "\n", "\n\n", "\n- ", "\n## ", " 45 minutes", " 6 hours", "é", "漢", "🖋️")
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_SPACE: Final = "▁"  # how sentencepiece writes a space

_CHAT: Final = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

Vocabulary = list[tuple[str, int, float]]
"""Each token with its type and how its logit leans."""


def write_tiny_model(path: Path, seed: int = 1) -> Path:
    """Write the model to ``path``; equal seeds give equal files."""
    rng = random.Random(seed)
    vocabulary = list(_vocabulary(rng))
    tensors = list(_tensors(vocabulary, rng))
    metadata = _metadata(vocabulary)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)) + b"".join(metadata)
    offset = 0
    for name, shape, values in tensors:
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += _padded(len(values) * 4)
    with path.open("wb") as file:
        file.write(head.ljust(_padded(len(head)), b"\0"))
        for _, _, values in tensors:
            file.write(values.tobytes().ljust(_padded(len(values) * 4), b"\0"))
    return path


def _vocabulary(rng: random.Random) -> Iterator[tuple[str, int, float]]:
    yield "<unk>", _UNKNOWN, -40.0
    yield "<s>", _CONTROL, -40.0
    yield "</s>", _CONTROL, 1.9
    for byte in range(256):
        printable = 32 <= byte < 127
        yield f"<0x{byte:02X}>", _BYTE, {'"': 2.5, "]": 2.0, "}": 2.0}.get(chr(byte), -1.0 if printable else -6.0)
    yield _SPACE, _NORMAL, -1.0
    words: dict[str, None] = {}
    while len(words) < WORDS:
        words[_SPACE + "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 3)))] = None
    for word in words:
        yield word, _NORMAL, 1.0
    for sign in _SIGNS:
        yield sign.replace(" ", _SPACE), _NORMAL, 1.5


def _tensors(vocabulary: Vocabulary, rng: random.Random) -> Iterator[tuple[str, list[int], array[float]]]:
    def noise(*shape: int, spread: float = 0.3) -> array[float]:
        size = 1
        for length in shape:
            size *= length
        return array("f", (rng.gauss(0, spread) for _ in range(size)))

    def ones() -> array[float]:
        return array("f", [1.0] * WIDTH)

    tokens = len(vocabulary)
    embeddings, output = noise(WIDTH, tokens, spread=1.0), noise(WIDTH, tokens, spread=0.15)
    for place, (_, _, lean) in enumerate(vocabulary):
        embeddings[place * WIDTH] = _LEAN
        output[place * WIDTH] = lean / _LEAN * 2
    yield "token_embd.weight", [WIDTH, tokens], embeddings
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", [WIDTH], ones()
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{name}.weight", [WIDTH, WIDTH], noise(WIDTH, WIDTH, spread=0.1)
        for name in ("ffn_gate", "ffn_up"):
            yield f"blk.{layer}.{name}.weight", [WIDTH, FEED_FORWARD], noise(WIDTH, FEED_FORWARD, spread=0.1)
        yield f"blk.{layer}.ffn_down.weight", [FEED_FORWARD, WIDTH], noise(FEED_FORWARD, WIDTH, spread=0.1)
    yield "output_norm.weight", [WIDTH], ones()
    yield "output.weight", [WIDTH, tokens], output


def _metadata(vocabulary: Vocabulary) -> list[bytes]:
    numbers = {
        "general.alignment": ALIGNMENT,
        "llama.vocab_size": len(vocabulary),
        "llama.context_length": CONTEXT_TOKENS,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    texts = {
        "general.architecture": "llama",
        "general.name": "tiny random nonsense",
        "tokenizer.ggml.model": "llama",
        "tokenizer.chat_template": _CHAT,
    }
    scores = [0.0 if kind != _NORMAL else -float(place) for place, (_, kind, _) in enumerate(vocabulary)]
    return [
        *(_text(name) + struct.pack("<I", _STRING) + _text(value) for name, value in texts.items()),
        *(_text(name) + struct.pack("<II", _U32, value) for name, value in numbers.items()),
        _text("tokenizer.ggml.add_space_prefix") + struct.pack("<I?", _BOOL, False),
        _text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", _F32, 1e-5),
        _list("tokenizer.ggml.tokens", _STRING, [_text(token) for token, _, _ in vocabulary]),
        _list("tokenizer.ggml.scores", _F32, [struct.pack("<f", score) for score in scores]),
        _list("tokenizer.ggml.token_type", _I32, [struct.pack("<i", kind) for _, kind, _ in vocabulary]),
    ]


def _list(name: str, kind: int, items: list[bytes]) -> bytes:
    return _text(name) + struct.pack("<IIQ", _ARRAY, kind, len(items)) + b"".join(items)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT
