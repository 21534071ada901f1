"""What people put upon the pages of a PDF is read, and seen, like what is printed on them."""

from __future__ import annotations

import pytest

from core.attachments.document_text import read_document
from core.attachments.pdf_pages import render_pages
from core.attachments.types import FileProblem, FileUnreadable
from tests.support.documents import make_form_pdf
from tests.support.pictures import open_picture


def test_a_form_is_read_as_it_was_filled_in() -> None:
    assert read_document(make_form_pdf()).text.split("\n") == [
        "Application",
        "Full name: Ann Lee",
        "agreed: Yes",
        "address: Main Street 5",
        "as of May",
        "[comment] Bob: Is this right?",
    ]


def test_a_scan_that_somebody_typed_upon_is_still_a_scan() -> None:
    with pytest.raises(FileUnreadable) as raised:
        read_document(make_form_pdf(printed=""))
    assert raised.value.problem is FileProblem.SCANNED


def test_what_was_filled_in_is_seen() -> None:
    (page,) = render_pages(make_form_pdf(printed=""), 1).pictures
    image = open_picture(page.whole.content).convert("L")
    scale = page.whole.size.width / 612
    # A PDF counts from below: its fields stand from 550 to 670 of 792 points.
    left, right = 60 * scale, 160 * scale
    fields = image.crop((int(left), int(122 * scale), int(right), int(242 * scale)))
    assert fields.getextrema()[0] < 100
