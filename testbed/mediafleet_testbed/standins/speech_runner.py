"""An ai-runner that does real work without a GPU: audio-to-text by pocketsphinx.

A statistical model of 2015 for 16 kHz English speech, which its wheel brings along; it speaks the
API of ai-runner and is as good as such models are. `python -m … --port PORT [--model NAME]`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import wave
from typing import Any, Final

from aiohttp import BodyPartReader, web
from pocketsphinx import Decoder

RATE: Final = 16000
_FRAMES_PER_SECOND: Final = 100
_MOST_BYTES: Final = 32 * 1024 * 1024


def transcribed(sound: bytes) -> dict[str, Any]:
    """Text of a WAV file, and when each word was said, in seconds.

    Raises:
        ValueError: it is not 16 kHz, 16 bit, one channel.
    """
    try:
        with wave.open(io.BytesIO(sound)) as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            samples = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"no WAV file: {error}") from error
    if form != (1, 2, RATE):
        raise ValueError("the sound must have 16000 samples a second, of 16 bits, one channel")
    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    said = decoder.hyp()
    words = [each for each in decoder.seg() if not each.word.startswith(("<", "["))]
    return {
        "text": said.hypstr if said is not None else "",
        "chunks": [
            {
                "text": each.word.partition("(")[0],
                "timestamp": [
                    each.start_frame / _FRAMES_PER_SECOND,
                    each.end_frame / _FRAMES_PER_SECOND,
                ],
            }
            for each in words
        ],
    }


def app(model: str) -> web.Application:
    """The runner's API for one model."""

    async def run(request: web.Request) -> web.Response:
        sound, asked = b"", ""
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "audio":
                sound = bytes(await part.read())
            elif isinstance(part, BodyPartReader) and part.name == "model_id":
                asked = (await part.read()).decode()
        if asked != model:
            return _error(400, f"this runner has {model}, not {asked}")
        try:
            return web.json_response(await asyncio.to_thread(transcribed, sound))
        except ValueError as error:
            return _error(400, str(error))

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})

    async def version(_: web.Request) -> web.Response:
        told = {"pipeline": "audio-to-text", "model_id": model, "version": "0.0.0"}
        return web.json_response(told)

    application = web.Application(client_max_size=_MOST_BYTES)
    application.add_routes(
        [web.post("/audio-to-text", run), web.get("/health", health), web.get("/version", version)]
    )
    return application


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"detail": {"msg": words}}, status=status)


def main() -> None:
    """Run until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model", default="pocketsphinx/en-us")
    options = parser.parse_args()
    web.run_app(app(options.model), host=options.host, port=options.port, print=None)


if __name__ == "__main__":
    main()
