"""Pages of a stranger's PDF as pictures, inside the reading process: scans have no words, and
figures say what words don't.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, Final

from core.attachments.types import (
    PICTURE_SIDE_MAX,
    PICTURES_MAX,
    FileProblem,
    FileUnreadable,
    PageReading,
    PictureReading,
    is_pdf,
)

#: PDFium rounds sides up: with this, no more than `PICTURE_SIDE_MAX` comes of the longest.
_SIDE: Final = PICTURE_SIDE_MAX - 0.5


def open_pdf(content: bytes) -> tuple[Any, int]:
    """PDFium's document, and how many pages it says it has; raises `FileUnreadable`."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
        pages = len(document)
    except pypdfium2.PdfiumError as error:
        is_locked = "password" in str(error).lower()
        problem = FileProblem.LOCKED if is_locked else FileProblem.DAMAGED
        raise FileUnreadable(problem) from None
    with suppress(pypdfium2.PdfiumError):  # a damaged form hides nothing but itself
        if document.get_formtype():
            document.init_forms()  # else its fields are neither read nor drawn
    return document, pages


def render_pages(content: bytes, count: int) -> PageReading:
    """The first `count` pages of a PDF, of which there are `PICTURES_MAX` at most; raises
    `FileUnreadable`."""
    if not content.strip():
        raise FileUnreadable(FileProblem.EMPTY)
    if not is_pdf(content):
        raise FileUnreadable(FileProblem.UNKNOWN)
    document, pages = open_pdf(content)
    rendered = (_render_page(document, at) for at in range(min(pages, count, PICTURES_MAX)))
    pictures = tuple(one for one in rendered if one is not None)
    if not pictures:
        raise FileUnreadable(FileProblem.DAMAGED)
    return PageReading(pictures, pages)


def _render_page(document: Any, at: int) -> PictureReading | None:
    """One page, on white; None where it is damaged: others may not be."""
    import pypdfium2

    from core.attachments.pictures import pack_picture

    try:
        page = document[at]
        sides = page.get_size()
        # By its size in points alone, before anything is taken for it: a page may be of any.
        if not all(side > 0 and math.isfinite(side) for side in sides):
            return None
        bitmap = page.render(scale=_SIDE / max(sides))
    except pypdfium2.PdfiumError:
        return None
    picture = pack_picture(bitmap.to_pil())
    bitmap.close()
    page.close()
    return picture
