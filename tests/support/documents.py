"""Documents as people send them, and those that are made to do harm."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence


def make_pdf(pages: Sequence[str]) -> bytes:
    """A PDF with the lines of a text on each page; an empty one has none."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        lines = " 0 -9 Td ".join(f"({line}) Tj" for line in text.splitlines())
        stream = f"BT /F1 7 Tf 20 780 Td {lines} ET" if text else ""
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        page = f"/Type /Page /Parent 2 0 R {resources} /MediaBox [0 0 612 792]"
        objects += [
            f"<< {page} /Contents {5 + 2 * number} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    return _join_objects([one.encode("latin-1") for one in objects])


def make_bomb_pdf(megabytes: int) -> bytes:
    """A PDF of one page whose contents unpack to so many megabytes."""
    packer, blank = zlib.compressobj(9), b" " * (1 << 20)
    # What stands between two full flushes is the same for each megabyte: it is packed once.
    first, packed = (packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    checksum = 1
    for _ in range(megabytes):
        checksum = zlib.adler32(blank, checksum)
    stream = first + packed * (megabytes - 1) + b"\x03\x00" + checksum.to_bytes(4, "big")
    return _join_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>",
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        ]
    )


def make_locked_pdf() -> bytes:
    """A PDF that opens with a password alone, which isn't the empty one."""
    locked = "<< /Filter /Standard /V 1 /R 2 /P -4 /O <{key}> /U <{key}> >>".format(key="41" * 32)
    return _join_objects(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"],
        f"/Encrypt {locked} /ID [<00> <00>]",
    )


def _join_objects(objects: Sequence[bytes], trailer: str = "") -> bytes:
    written = io.BytesIO(b"%PDF-1.4\n")
    written.seek(0, io.SEEK_END)
    offsets = []
    for number, one in enumerate(objects, start=1):
        offsets.append(written.tell())
        written.write(b"%d 0 obj\n%s\nendobj\n" % (number, one))
    table = written.tell()
    rows = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    written.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}".encode())
    size = len(objects) + 1
    written.write(f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n".encode())
    written.write(f"startxref\n{table}\n%%EOF".encode())
    return written.getvalue()


def make_form_pdf(printed: str = "Application") -> bytes:
    """A PDF of one page that was filled in, typed upon and remarked on."""
    written = f"BT /F1 9 Tf 20 700 Td ({printed}) Tj ET" if printed else ""
    widget = "<< /Type /Annot /Subtype /Widget"
    objects = [
        (
            "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R 7 0 R 8 0 R 9 0 R]"
            " /DR << /Font << /F1 5 0 R >> >> >> >>"
        ),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
            " /Resources << /Font << /F1 5 0 R >> >>"
            " /Annots [6 0 R 7 0 R 8 0 R 10 0 R 11 0 R 12 0 R 13 0 R] >>"
        ),
        f"<< /Length {len(written)} >>\nstream\n{written}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"{widget} /FT /Tx /T (f1) /TU (Full name) /V (Ann Lee) /Rect [60 650 160 670] >>",
        f"{widget} /FT /Btn /T (agreed) /V /Yes /AS /Yes /Rect [60 600 70 610] >>",
        f"{widget} /FT /Btn /T (member) /V /Off /AS /Off /Rect [60 580 70 590] >>",
        "<< /FT /Tx /T (address) /V (Main Street 5) /Kids [10 0 R] >>",
        f"{widget} /Parent 9 0 R /Rect [60 550 160 570] >>",
        (
            "<< /Type /Annot /Subtype /FreeText /Contents (as of May) /Rect [60 500 160 515]"
            " /DA (/F1 9 Tf) >>"
        ),
        (
            "<< /Type /Annot /Subtype /Text /Contents (Is this right?) /T (Bob)"
            " /Rect [60 400 80 415] >>"
        ),
        (
            "<< /Type /Annot /Subtype /Popup /Contents (Is this right?) /Parent 12 0 R"
            " /Rect [90 400 190 415] >>"
        ),
    ]
    return _join_objects([one.encode("latin-1") for one in objects])


def edit_part(content: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """An office file of which one part is another, or is missing where nothing is left of it."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
        for part in old.namelist():
            changed = change(old.read(part)) if part == name else old.read(part)
            if changed:
                new.writestr(part, changed)
    return written.getvalue()


def add_to_docx(content: bytes, xml: str) -> bytes:
    """A Word file with more elements at the end of its body."""
    end = b"<w:sectPr"
    added = xml.encode() + end
    return edit_part(content, "word/document.xml", lambda old: old.replace(end, added, 1))


def make_docx(paragraphs: Sequence[str], row: Sequence[str] = ()) -> bytes:
    """A Word file with these paragraphs, and a table of one row."""
    import docx

    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    if row:
        table = document.add_table(1, len(row))
        for cell, text in zip(table.rows[0].cells, row, strict=True):
            cell.text = text
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def make_xlsx(title: str, rows: Sequence[Sequence[object]]) -> bytes:
    """An Excel file with one sheet."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def make_bomb_docx(megabytes: int) -> bytes:
    """What seems to be a Word file unpacks to so many megabytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("word/document.xml", "w") as member:
            for _ in range(megabytes):
                member.write(b" " * (1 << 20))
    return written.getvalue()
