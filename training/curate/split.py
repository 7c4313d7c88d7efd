"""Training or test, by artist or work and never by file; and what a file is called in the set.

The split is drawn from the name of the artist or work alone, so that no file that is added or taken away moves another
across. A split that a manifest states stays as its maker decided, so that what was held out once is never trained on.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath

from training.curate.options import TEST, TRAIN, Options

PAIR_LINE = "-line"
"""What the name of a pair's line drawing ends in, after that of its coloured partner."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def unit_of(credit: Mapping[str, str], path: str, source: str, options: Options) -> str:
    """Name of the artist or work that a file belongs to.

    Without a stated author, the first folder of its path; without a stated work, the folder it lies in; without a
    folder either, the source.

    Args:
        credit: what is known of it.
        path: in its source, with slashes.
        source: name of the source's folder.
        options: the choice between artist and work.
    """
    folders = PurePosixPath(path).parts[:-1]
    if options.split_by == "artist":
        name = credit.get("author") or (folders[0] if folders else source)
    else:
        name = credit.get("work") or ("/".join(folders) if folders else source)
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def split_of(unit: str, given: str, options: Options) -> str:
    """``train`` or ``test``: as stated, else drawn by the unit's name.

    A larger ``test_share`` moves units to the test only, a smaller one to training only.
    """
    if given and not options.redraw_split:
        return given
    digest = hashlib.sha256(f"{options.split_seed}\0{unit}".encode()).digest()
    return TEST if int.from_bytes(digest[:8], "big") < options.test_share * 2**64 else TRAIN


def slug(text: str, most: int) -> str:
    """Letters, digits, ``_`` and ``-`` of any script, at most so many; safe as a file's or folder's name."""
    safe = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", text)).strip("_-")[:most] or "unnamed"
    return f"{safe}_" if _RESERVED.fullmatch(safe) else safe


def stem_of(path: str, sha: str, unit: str, split: str) -> str:
    """Where a picture goes in the set, without suffix: ``SPLIT/UNIT/NAME-DIGEST``, with slashes.

    The digest is of its content and its path, so that names never meet and stay the same from run to run.
    """
    tag = hashlib.sha256(f"{sha}\0{path}".encode()).hexdigest()[:12]
    return f"{split}/{slug(unit, 40)}/{slug(PurePosixPath(path).stem, 48)}-{tag}"
