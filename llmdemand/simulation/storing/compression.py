"""Compression of responses by dictionaries that were trained on the first of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmdemand.simulation.storing.packing import unpacked

__all__ = ["SAMPLES", "Compression", "dictionary_id", "trained"]

#: Answers that a dictionary is trained on.
SAMPLES = 128
_SIZE = 16_384
# Twice as slow per step beyond, for a few percent.
_LEVEL = 3
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZLIB = b"\x78"


def trained(samples: Sequence[bytes]) -> bytes | None:
    """A Zstandard dictionary of what samples share; None if they share too little."""
    import zstandard

    try:
        return zstandard.train_dictionary(_SIZE, list(samples)).as_bytes()
    except zstandard.ZstdError:  # too few bytes, or nothing that repeats
        return None


def dictionary_id(dictionary: bytes) -> int:
    """The number by which the frames that need a dictionary name it: drawn from its content."""
    import zstandard

    return int(zstandard.ZstdCompressionDict(dictionary).dict_id())


class Compression:
    """Responses as compressed bytes, and back.

    A response is `packed` and compressed by Zstandard with a checksum, so that a damaged one is
    found out. Its frame names its dictionary. What earlier versions wrote (zlib of JSON) and what
    was not compressed is told by its first byte.

    Parameters
    ----------
    load : callable
        The dictionary with a number, or None.
    compress : bool
        Whether to compress at all.
    """

    def __init__(self, load: Callable[[int], bytes | None], *, compress: bool = True) -> None:
        self._load, self._compress = load, compress
        self._compressors: dict[int, Any] = {}
        self._decompressors: dict[int, Any] = {}

    def shrunk(self, data: bytes, dictionary: bytes | None = None) -> bytes:
        """Packed bytes, compressed."""
        if not self._compress:
            return data
        name = 0 if dictionary is None else id(dictionary)
        if name not in self._compressors:
            import zstandard

            known = None if dictionary is None else zstandard.ZstdCompressionDict(dictionary)
            found = zstandard.ZstdCompressor(_LEVEL, dict_data=known, write_checksum=True)
            # The dictionary is held, so that its address names no other.
            self._compressors[name] = found, dictionary
        return bytes(self._compressors[name][0].compress(data))

    def plain(self, blob: bytes) -> bytes:
        """The packed bytes again.

        Raises
        ------
        ValueError
            If the bytes are damaged, or their dictionary is missing.
        """
        if not blob.startswith(_ZSTD):
            return _inflated(blob) if blob.startswith(_ZLIB) else blob
        import zstandard

        try:
            name = int(zstandard.get_frame_parameters(blob).dict_id)
            if name not in self._decompressors:
                self._decompressors[name] = self._decompressor(name)
            return bytes(self._decompressors[name].decompress(blob))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None

    def response(self, blob: bytes) -> Mapping[str, Any]:
        """The response in compressed bytes; raises ValueError for anything else."""
        return unpacked(self.plain(blob))

    def _decompressor(self, name: int) -> Any:
        import zstandard

        if not name:
            return zstandard.ZstdDecompressor()
        dictionary = self._load(name)
        if dictionary is None:
            raise ValueError(f"its dictionary {name} is missing")
        return zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(dictionary))


def _inflated(blob: bytes) -> bytes:
    import zlib

    try:
        return zlib.decompress(blob)
    except zlib.error as error:
        raise ValueError(str(error)) from None
