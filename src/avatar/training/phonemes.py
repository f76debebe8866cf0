"""Which mouth shape each phoneme is: IPA and ARPAbet to the 15 Oculus visemes."""

from __future__ import annotations

from avatar.types import VISEME_NAMES

_INDEX = {name: i for i, name in enumerate(VISEME_NAMES)}

_IPA = {
    "PP": "pbmɓ", "FF": "fvɱʋɸβ", "TH": "θð", "DD": "tdɾʈɖ", "kk": "kɡgxɣqhɦχħʔʕcɟç",
    "CH": "ʃʒʧʤɕʑʂʐʨʥ", "SS": "szʦʣ", "nn": "nlŋɳɲʎɭɫ", "RR": "ɹrɻʁɽɚɝʀ", "aa": "aɑæɐʌᴀɶ",
    "E": "eɛəɜɘᵊ", "ih": "iɪɨjᵻɯ", "oh": "oɔɒøœɤ", "ou": "uʊʉwyʏɥ",
}  # fmt: skip
_OF_IPA = {symbol: _INDEX[name] for name, symbols in _IPA.items() for symbol in symbols}

_DIPHTHONGS = {
    "A": ("E", "ih"), "I": ("aa", "ih"), "O": ("oh", "ou"), "Q": ("E", "ou"), "W": ("aa", "ou"),
    "Y": ("oh", "ih"),
}  # fmt: skip
"""Single letters for diphthongs, as hibari's alphabet (misaki) writes them."""

_ARPABET = {
    "p": ["PP"], "b": ["PP"], "m": ["PP"], "f": ["FF"], "v": ["FF"], "th": ["TH"], "dh": ["TH"],
    "t": ["DD"], "d": ["DD"], "dx": ["DD"], "k": ["kk"], "g": ["kk"], "hh": ["kk"], "hv": ["kk"],
    "ch": ["DD", "CH"], "jh": ["DD", "CH"], "sh": ["CH"], "zh": ["CH"], "s": ["SS"], "z": ["SS"],
    "n": ["nn"], "l": ["nn"], "el": ["nn"], "en": ["nn"], "em": ["PP"], "ng": ["kk"], "nx": ["nn"],
    "r": ["RR"], "er": ["RR"], "axr": ["RR"], "aa": ["aa"], "ae": ["aa"], "ah": ["aa"],
    "ax": ["E"], "eh": ["E"], "ey": ["E", "ih"], "ay": ["aa", "ih"], "ih": ["ih"], "ix": ["ih"],
    "iy": ["ih"], "y": ["ih"], "ao": ["oh"], "ow": ["oh", "ou"], "oy": ["oh", "ih"],
    "aw": ["aa", "ou"], "uh": ["ou"], "uw": ["ou"], "w": ["ou"], "pau": ["sil"], "sil": ["sil"],
}  # fmt: skip


def ipa_visemes(phoneme: str) -> list[int]:
    """The visemes, in order, of one phoneme in IPA; silence for pauses, stress marks and tones.

    >>> [VISEME_NAMES[i] for i in ipa_visemes("aɪ")]
    ['aa', 'ih']
    """
    found: list[int] = []
    for symbol in phoneme:
        if symbol in _DIPHTHONGS:
            found += [_INDEX[name] for name in _DIPHTHONGS[symbol]]
        elif symbol in _OF_IPA and (not found or found[-1] != _OF_IPA[symbol]):
            found.append(_OF_IPA[symbol])
    return found or [_INDEX["sil"]]


def arpabet_visemes(phone: str) -> list[int]:
    """The visemes, in order, of one ARPAbet phone of any case, with or without a stress digit."""
    return [_INDEX[name] for name in _ARPABET.get(phone.lower().rstrip("012"), ["sil"])]


def spread_visemes(visemes: list[int], start: float, end: float) -> list[tuple[float, float, int]]:
    """A phoneme of several mouth shapes (a diphthong, an affricate) as equal parts of its time."""
    width = (end - start) / len(visemes)
    return [(start + i * width, start + (i + 1) * width, v) for i, v in enumerate(visemes)]
