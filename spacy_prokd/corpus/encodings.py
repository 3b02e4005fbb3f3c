"""Which encoding a file may have that is not UTF-8.

That of Windows for one script decodes nearly every file without an error, as what nobody wrote. So an encoding of East
Asia is proposed where the letters come out that stand in any text of its language.
"""

from __future__ import annotations

import re

_COMMON_LETTERS = {  # by the name that iconv has
    "CP932": "のにはをがでとしたいるてなっすま",
    "EUC-JP": "のにはをがでとしたいるてなっすま",
    "GB18030": "的一是在不了有人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年同",
    "BIG5": "的一是在不了有人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年同",
    "EUC-KR": "이다는에의을가고하를로한지은도사서기",
}
_SHARE = 0.1  # of what is not ASCII; other scripts, read as these, have next to none
_SAMPLE = 100_000  # bytes, from the first letter that is not ASCII
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")
_CYRILLIC = rb"[\xa5\xaa\xaf\xb2-\xb4\xba\xbf-\xff]"  # as WINDOWS-1251 has Russian and Ukrainian letters
HINTS = {
    "CP932": " (Shift-JIS).",
    "WINDOWS-1251": " (Ukrainian, Russian, Bulgarian). Greek has WINDOWS-1253.",
    "WINDOWS-1252": ". Eastern Europe has WINDOWS-1250 (Polish, Czech).",
}


def guess_encoding(raw: bytes) -> str:
    """The encoding that a file which is not UTF-8 is likely to have, by the name that iconv has for it."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    if b"\0" in raw:  # of ASCII letters and line ends, whose other byte says on which side it is
        return "UTF-16LE" if 2 * raw[1::2].count(0) > raw.count(0) else "UTF-16BE"
    if is_iso_2022_jp(raw):
        return "ISO-2022-JP"
    return _guess_of_east_asia(raw) or _guess_of_one_byte(raw)


def is_iso_2022_jp(raw: bytes) -> bool:
    """Whether bytes switch to Japanese as old e-mails do. All of them are ASCII, so that UTF-8 has no error."""
    return _ISO_2022_JP.search(raw) is not None


def _guess_of_east_asia(raw: bytes) -> str:
    if (first := re.search(rb"[^\0-\x7f]", raw)) is None:
        return ""
    raw = raw[first.start() :][:_SAMPLE]
    shares = {encoding: _share_of(letters, raw, encoding) for encoding, letters in _COMMON_LETTERS.items()}
    likeliest = max(shares, key=shares.__getitem__)
    return likeliest if shares[likeliest] > _SHARE else ""


def _share_of(letters: str, raw: bytes, encoding: str) -> float:
    found = [letter for letter in raw.decode(encoding, errors="replace") if not letter.isascii()]
    return sum(letter in letters for letter in found) / max(1, len(found))


def _guess_of_one_byte(raw: bytes) -> str:
    """Cyrillic words are these bytes from end to end, where of Latin ones few stand together. Latin-1 has no letter and
    no sign in 0x80 to 0x9f, where all encodings of Windows have some."""
    rows = [len(row) for row in re.findall(_CYRILLIC + rb"+", raw)]
    if 2 * sum(length for length in rows if length > 2) > sum(rows):
        return "WINDOWS-1251"
    return "WINDOWS-1252" if re.search(rb"[\x80-\x9f]", raw) else "LATIN1"
