"""Which files are taken for readable ones is told by what their senders' systems say of them."""

from __future__ import annotations

import pytest

from bots.chat.attachments import AttachmentKind, SentAttachment, is_readable_file


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("plan.pdf", ""),
        ("plan", "application/pdf"),
        ("Plan.DOCX", "application/octet-stream"),
        ("plan.docm", "application/vnd.ms-word.document.macroEnabled.12"),
        ("plan.dotx", ""),
        ("sums.xlsm", "application/vnd.ms-excel.sheet.macroEnabled.12"),
        ("sums", "application/vnd.openxmlformats-officedocument.spreadsheetml.template"),
        ("sums.csv", "application/vnd.ms-excel"),  # as Windows with Excel says
        ("main.rs", ""),
        (".env", "application/octet-stream"),
        ("Dockerfile", ""),
        ("notes", "text/plain; charset=utf-8"),
    ],
)
def test_these_are_readable(name: str, mime: str) -> None:
    assert is_readable_file(SentAttachment("file", name, mime))


@pytest.mark.parametrize(
    ("kind", "name", "mime"),
    [
        ("file", "plan.doc", "application/msword"),
        ("file", "sums.xls", "application/vnd.ms-excel"),
        ("file", "sums.xlsb", "application/vnd.ms-excel.sheet.binary.macroEnabled.12"),
        ("file", "plan.rtf", "text/rtf"),
        ("file", "song.mp3", "audio/mpeg"),
        ("file", "", ""),
        ("video", "plan.pdf", "application/pdf"),
    ],
)
def test_these_are_not(kind: AttachmentKind, name: str, mime: str) -> None:
    assert not is_readable_file(SentAttachment(kind, name, mime))
