"""The AI half of the quick look: text becomes sound, and the sound the same text.

The broker and two workers are the real ones; the models are real too, small, and need no GPU:
flite, where it is installed, and pocketsphinx.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from rich.console import Console

from mediafleet_common.serving.tls import self_signed
from mediafleet_testbed import real_servers
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.processes import Member, Processes
from mediafleet_testbed.standins import speech_runner
from mediafleet_testbed.story.claims import Claims

SENTENCES: Final = (
    "go forward ten meters and turn left",
    "good morning how are you today",
    "the weather is fine today",
    "turn left and go forward",
)
"""They come back word by word; other sentences often do not: the models are small."""
RECORDED: Final = REPOSITORY / "tests/kit/workers/go_forward_ten_meters.wav"
WORKERS: Final = 2
HEARING: Final = ("audio-to-text", speech_runner.HEARING)
_SPEECH: Final = ("text-to-speech", speech_runner.SPEECH)


class Broker:
    """A broker, and workers that register at it."""

    def __init__(self, processes: Processes, directory: Path, targets: list[tuple[str, str]]):
        self._processes = processes
        self._targets = targets
        self._secret, self._models = directory / "secret", directory / "models.yaml"
        self._certificate, self._key = directory / "broker.pem", directory / "broker.key"
        self._workers = f"127.0.0.1:{real_servers.free_port()}"
        self._http = f"127.0.0.1:{real_servers.free_port()}"

    @property
    def http(self) -> str:
        """Its HTTP port."""
        return self._http

    async def start(self) -> str:
        """What it says when it is ready."""
        key, certificate = self_signed(["127.0.0.1"])
        self._key.write_bytes(key)
        self._certificate.write_bytes(certificate)
        self._secret.write_text("of-the-quick-look\n", encoding="utf-8")
        models = [{"pipeline": pipeline, "model": model} for pipeline, model in self._targets]
        self._models.write_text(yaml.safe_dump({"models": models}), encoding="utf-8")
        member = await self._processes.python(
            "broker",
            "mediafleet.main",
            *("broker", "--listen", self._workers, "--http", self._http),
            *("--secret-file", str(self._secret), "--models", str(self._models)),
            *("--tls-cert", str(self._certificate), "--tls-key", str(self._key)),
        )
        return await self._processes.says(member, "ready")

    async def add_worker(self, name: str) -> Member:
        """A worker with a runner of its own, once it is registered."""
        port = real_servers.free_port()
        module = "mediafleet_testbed.standins.speech_runner"
        await self._processes.python(f"runner-{name}", module, "--port", str(port))
        runners = [
            f"{pipeline}/{model}=http://127.0.0.1:{port}" for pipeline, model in self._targets
        ]
        member = await self._processes.python(
            name,
            "mediafleet.main",
            *("worker", "--broker", self._workers, "--secret-file", str(self._secret)),
            *("--ca", str(self._certificate), "--wait-for-runners"),
            *(part for runner in runners for part in ("--runner", runner)),
        )
        await self._processes.says(member, "ready")
        return member

    async def done(self, session: aiohttp.ClientSession, task: Any) -> dict[str, Any]:
        """The result of a task, JSON or a form, and who did it."""
        url = f"http://{self._http}"
        kind = "data" if isinstance(task, aiohttp.FormData) else "json"
        async with session.post(f"{url}/v1/tasks", **{kind: task}) as response:
            name = (await response.json())["id"]
        async with session.get(f"{url}/v1/tasks/{name}/result?wait=60") as response:
            result: dict[str, Any] = await response.json()
        async with session.get(f"{url}/explain?task={name}") as response:
            explained = await response.json()
        return {**result, "worker": explained["attempts"][-1]["worker"]}


async def text_and_sound(
    processes: Processes, directory: Path, console: Console, claims: Claims
) -> None:
    """Each sentence, said and heard by one of two workers."""
    console.print("\nstarting the broker and two workers with statistical models …")
    speaks = speech_runner.speaks()
    broker = Broker(processes, directory, [_SPEECH, HEARING] if speaks else [HEARING])
    console.print(f"  {await broker.start()}", highlight=False)
    members = await asyncio.gather(*(broker.add_worker(f"worker-{n}") for n in range(WORKERS)))
    if not speaks:
        console.print("  flite is not installed: a recorded sentence is heard, none is said")
    sentences = SENTENCES if speaks else SENTENCES[:1] * 2
    async with aiohttp.ClientSession() as session:
        heard = await asyncio.gather(
            *(_heard(broker, session, each, say=speaks) for each in sentences)
        )
        for sentence, (text, seconds, _) in zip(sentences, heard, strict=True):
            console.print(f"  {seconds:.1f} s of sound: {text}", highlight=False)
            if text != sentence:
                console.print(f"    it was: {sentence}", highlight=False)
        counts = Counter(worker for _, _, workers in heard for worker in workers)
        told = " and ".join(map(str, counts.values()))
        console.print(f"  tasks of the workers: {told}", highlight=False)
        what = "text to sound to the same text" if speaks else "sound to text"
        right = sum(
            text == sentence for sentence, (text, _, _) in zip(sentences, heard, strict=True)
        )
        claims.holds(f"AI: {what}", right == len(sentences), f"{right} of {len(sentences)}")
        members[0].process.kill()
        await members[0].process.wait()
        text, _, _ = await _heard(broker, session, sentences[0], say=speaks)
        claims.holds("AI: a worker is killed, the other one has the next task", bool(text))


async def listening(broker: Broker, every_seconds: float) -> None:
    """Have the recorded sentence heard now and then, until cancelled."""
    async with aiohttp.ClientSession() as session:
        while True:
            await _heard(broker, session, "", say=False)
            await asyncio.sleep(every_seconds)


async def _heard(
    broker: Broker, session: aiohttp.ClientSession, sentence: str, *, say: bool
) -> tuple[str, float, list[str]]:
    """What is heard of a sentence, how long its sound is, and who said and heard it."""
    sound, who = RECORDED.read_bytes(), list[str]()
    if say:
        request = {"model_id": _SPEECH[1], "text": sentence}
        said = await broker.done(session, {"pipeline": _SPEECH[0], "request": request})
        sound = base64.b64decode(said["audio"]["url"].partition(",")[2])
        who.append(said["worker"])
    form = aiohttp.FormData()
    form.add_field(
        "task", json.dumps({"pipeline": HEARING[0], "request": {"model_id": HEARING[1]}})
    )
    form.add_field("file", sound, filename="sound.wav")
    told = await broker.done(session, form)
    seconds = (len(sound) - 44) / 2 / speech_runner.RATE
    return told["text"], seconds, [*who, told["worker"]]
