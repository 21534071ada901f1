"""The words of a stranger's PDF, page by page, inside the reading process."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class PageWords(NamedTuple):
    """What stands on a page, and what was put upon it."""

    #: Empty where the page is a picture, or damaged.
    printed: str
    #: Lines of a form that was filled in, words that were typed onto the page, remarks.
    added: tuple[str, ...] = ()

    def join_lines(self) -> str:
        """All of it; what was added stands where the page ends, since it may stand anywhere."""
        return "\n".join(filter(None, (self.printed, *self.added)))


def read_page(document: Any, at: int) -> PageWords:
    """A page of a document as `open_pdf` gives it; without words where that page alone is
    damaged."""
    import pypdfium2

    try:
        page = document[at]
        printed = _clean(page.get_textpage().get_text_bounded())
        added = tuple(_list_added(document.formenv, page))
    except pypdfium2.PdfiumError:
        return PageWords("")
    page.close()
    return PageWords(printed, added)


def _clean(words: str) -> str:
    """A page's words without what PDFium gives for signs that it can't name."""
    return words.replace("\r\n", "\n").replace("\ufffe", "").replace("\0", "").strip()


def _list_added(form: Any, page: Any) -> Iterator[str]:
    import pypdfium2.raw as pdfium

    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_WIDGET:
            line = "" if form is None else _describe_field(form, annotation)
        elif kind == pdfium.FPDF_ANNOT_POPUP:  # the window in which another one is shown
            line = ""
        else:
            line = _describe_remark(annotation, is_typed=kind == pdfium.FPDF_ANNOT_FREETEXT)
        pdfium.FPDFPage_CloseAnnot(annotation)
        if line:
            yield line


def _describe_field(form: Any, annotation: Any) -> str:
    """A field by the name that people read, and what it was filled in with; empty where it
    wasn't."""
    import pypdfium2.raw as pdfium

    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    is_box = kind in {pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON}
    if is_box and not pdfium.FPDFAnnot_IsChecked(form, annotation):
        return ""
    if kind in {pdfium.FPDF_FORMFIELD_PUSHBUTTON, pdfium.FPDF_FORMFIELD_SIGNATURE}:
        return ""
    value = _read_string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    name = _read_string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    name = name or _read_string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)
    return f"{name}: {value}" if value else ""


def _describe_remark(annotation: Any, *, is_typed: bool) -> str:
    import pypdfium2.raw as pdfium

    words = _read_string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
    if is_typed or not words:
        return words
    author = _read_string(pdfium.FPDFAnnot_GetStringValue, annotation, b"T")
    return f"[comment] {author}: {words}" if author else f"[comment] {words}"


def _read_string(read: Callable[..., int], *of: Any) -> str:
    """What a function of PDFium gives, which is asked twice: for its bytes' count, and for them."""
    count = read(*of, None, 0)
    buffer = ctypes.create_string_buffer(count)
    read(*of, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), count)
    return _clean(buffer.raw.decode("utf-16-le", "replace"))
