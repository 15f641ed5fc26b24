"""Writes benchmarks/payloads/ from a fixed seed: the same bytes each time.

The files are what is measured and are kept; this tells how they came about.
"""

import json
import random
import uuid
from pathlib import Path

FOLDER = Path(__file__).parent / "payloads"
SEED = 20250911
EVENT_SIZE = 214
SMALL_SIZE = 18 * 1024
LARGE_SIZE = 292 * 1024

WORD_TEXT = (
    "the of and a to in is you that it he was for on are as with his they at be this have from "
    "or one had by word but not what all were we when your can said there use an each which she "
    "do how their if will up other about out many then them these so some her would make like "
    "him into time has look two more write go see number no way could people lesson classroom "
    "student teacher quiz progress content script model terrain block answer question energy "
    "planet orbit fraction equation history river mountain"
)
ACCENTED_TEXT = (
    "élève leçon où garçon naïve Größe Übung Straße señal mañana пример урок ответ вопрос "
    "学生 先生 問題 答え 授業 수업 학생 질문 مرحبا درس שיעור תשובה ελληνικά μάθημα "
    "🎓 🚀 👩‍🏫 ✅ 🧪"
)
WORDS = WORD_TEXT.split()
ACCENTED = ACCENTED_TEXT.split()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def size(value):
    return len(compact(value).encode())


def sentence(rng, low, high, words=WORDS):
    return " ".join(rng.choice(words) for _ in range(rng.randint(low, high)))


def identifier(rng):
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def timestamp(rng):
    return (
        f"2025-09-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:"
        f"{rng.randint(0, 59):02}.{rng.randint(0, 999999):06}+00:00"
    )


def pad(value, holder, key, wanted):
    """Lengthens the text holder[key], somewhere in value, until value has the wanted size."""
    short = wanted - size(value)
    if short < 0:
        raise ValueError(f"{-short} bytes too long")
    holder[key] += (WORD_TEXT * (short // len(WORD_TEXT) + 1))[:short]
    return value


def event(rng):
    """The typed message of a dashboard."""
    payload = {"lessonId": identifier(rng), "step": 7, "score": 0.875, "done": False, "note": ""}
    value = {
        "type": "progress_update",
        "payload": payload,
        "channel": "class:42",
        "ts": timestamp(rng),
    }
    return pad(value, payload, "note", EVENT_SIZE)


def chat_message(rng, number):
    content = "\n\n".join(sentence(rng, 8, 60).capitalize() + "." for _ in range(rng.randint(1, 4)))
    if rng.random() < 0.3:
        content += f'\n\n```lua\nlocal part = Instance.new("Part")\npart.Size = {number}\n```\n'
    return {
        "id": identifier(rng),
        "parentId": identifier(rng) if number else None,
        "childrenIds": [identifier(rng) for _ in range(rng.randint(0, 2))],
        "role": "assistant" if number % 2 else "user",
        "content": content,
        "timestamp": 1757624400 + number * rng.randint(5, 90),
        "done": True,
        "usage": {
            "prompt_tokens": rng.randint(20, 4000),
            "completion_tokens": rng.randint(20, 4000),
            "total_duration": rng.randint(10**8, 10**11),
            "tokens_per_second": round(rng.uniform(5, 120), 2),
        },
        "rating": rng.choice([None, 1, -1]),
        "sources": [
            {"title": sentence(rng, 2, 6), "page": rng.randint(1, 400), "score": rng.random()}
            for _ in range(rng.randint(0, 3))
        ],
    }


def document(rng, wanted):
    """A chat with its messages, as an application saves and broadcasts it."""
    messages = {}
    value = {
        "id": identifier(rng),
        "title": sentence(rng, 3, 6),
        "models": ["tutor-large", "tutor-small"],
        "params": {"temperature": 0.7, "top_p": 0.95, "seed": None, "stream": True},
        "history": {"currentId": identifier(rng), "messages": messages},
        "tags": ["class:42", "science"],
        "note": "",
        "created_at": 1757624400,
        "pinned": False,
    }
    while True:
        message = chat_message(rng, len(messages))
        messages[message["id"]] = message
        if size(value) > wanted:
            del messages[message["id"]]
            return pad(value, value, "note", wanted)


def text(rng):
    """Chat in many scripts."""
    return [
        {
            "id": identifier(rng),
            "user": rng.choice(ACCENTED),
            "text": sentence(rng, 10, 40, WORDS[:30] + ACCENTED),
        }
        for _ in range(12)
    ]


def floats(rng):
    """Positions and readings of objects in a scene."""
    return {
        "frame": 1024,
        "positions": [[rng.uniform(-500, 500) for _ in range(3)] for _ in range(100)],
        "rotations": [[round(rng.uniform(-3.15, 3.15), 4) for _ in range(3)] for _ in range(100)],
        "weights": [rng.random() for _ in range(100)],
        "steps": [0.0, 0.5, 1.0, 1e-7, 6.02214076e23, -0.125],
    }


def attachment(rng, length):
    return rng.randbytes(length)


def write(folder):
    """Writes every payload into folder. A generator of its own for each: they do not interact."""
    values = {
        "event.json": event,
        "document_18k.json": lambda rng: document(rng, SMALL_SIZE),
        "document_292k.json": lambda rng: document(rng, LARGE_SIZE),
        "text.json": text,
        "floats.json": floats,
    }
    for name, make in values.items():
        rng = random.Random(f"{SEED}/{name}")
        (folder / name).write_text(compact(make(rng)), encoding="utf-8")
    for name, length in {"attachment_1k.bin": 1024, "attachment_16k.bin": 16384}.items():
        (folder / name).write_bytes(attachment(random.Random(f"{SEED}/{name}"), length))


if __name__ == "__main__":
    write(FOLDER)
