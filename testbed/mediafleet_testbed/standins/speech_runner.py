"""An ai-runner that does real work without a GPU: speech to text, and text to speech.

Both are statistical models of the years before neural ones, as good as such models are:
audio-to-text by pocketsphinx (its wheel brings a model of 16 kHz English), text-to-speech by the
program flite, where it is installed. It speaks the API of ai-runner. `python -m … --port PORT`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import shutil
import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

from aiohttp import BodyPartReader, web
from pocketsphinx import Decoder

SPEECH: Final = "flite/cmu-us-slt"
"""Its model of text-to-speech."""
HEARING: Final = "pocketsphinx/en-us"
"""And of audio-to-text."""
RATE: Final = 16000
_FRAMES_PER_SECOND: Final = 100
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_CHARACTERS: Final = 2000
_FLITE: Final = "flite"
_VOICE: Final = "slt"
_SECONDS: Final = 60.0
_one_at_a_time: Final = Lock()


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
    with _one_at_a_time:
        decoder = _decoder()
        decoder.start_utt()
        decoder.process_raw(samples, full_utt=True)
        decoder.end_utt()
        return _told(decoder)


@cache
def _decoder() -> Decoder:
    """Loading it costs more than a sentence."""
    return Decoder(samprate=RATE, loglevel="FATAL")


def _told(decoder: Decoder) -> dict[str, Any]:
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


def speaks() -> bool:
    """Whether there is flite."""
    return shutil.which(_FLITE) is not None


def spoken(text: str) -> bytes:
    """A WAV file of a text, 16 kHz, 16 bit, one channel.

    Raises:
        ValueError: it is no text that flite reads.
    """
    if not 0 < len(text) <= _MOST_CHARACTERS:
        raise ValueError(f"write 1 to {_MOST_CHARACTERS} characters")
    with tempfile.TemporaryDirectory(prefix="mediafleet-flite-") as folder:
        # Not -t, which would take some words for the name of a file.
        words, sound = Path(folder, "words"), Path(folder, "sound.wav")
        words.write_text(text, encoding="utf-8")
        command = [_FLITE, "-voice", _VOICE, "-f", str(words), "-o", str(sound)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False)
        if done.returncode != 0 or not sound.exists():
            raise ValueError("flite cannot say this")
        return sound.read_bytes()


async def _speak(request: web.Request) -> web.Response:
    asked = await request.json()
    try:
        sound = await asyncio.to_thread(spoken, str(asked.get("text", "")))
    except ValueError as error:
        return _error(400, str(error))
    url = f"data:audio/wav;base64,{base64.b64encode(sound).decode()}"
    return web.json_response({"audio": {"url": url}})


def app(model: str) -> web.Application:
    """The runner's API for one model of audio-to-text, and for SPEECH where there is flite."""

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
    if speaks():
        application.add_routes([web.post("/text-to-speech", _speak)])
    return application


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"detail": {"msg": words}}, status=status)


def main() -> None:
    """Run until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model", default=HEARING)
    options = parser.parse_args()
    web.run_app(app(options.model), host=options.host, port=options.port, print=None)


if __name__ == "__main__":
    main()
