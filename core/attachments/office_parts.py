"""The parts of office files and their elements, found by the ends of their names: the format has
two forms, which differ in all else of a name.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any


class WordPackage:
    """A Word file, as far as it is there: what it says that it has may be missing. Raises whatever
    its libraries raise of a damaged one."""

    def __init__(self, content: bytes) -> None:
        from docx.opc.packuri import PACKAGE_URI
        from docx.opc.phys_pkg import PhysPkgReader

        make_reader: Any = PhysPkgReader
        self._reader = make_reader(io.BytesIO(content))
        self._main = self._list_names(PACKAGE_URI, "officeDocument")[0]
        #: The document itself.
        self.document = self._parse(self._main)

    def list_parts(self, kind: str) -> Iterator[Any]:
        """The roots of the document's parts of a kind (`header`, `comments`)."""
        for name in self._list_names(self._main, kind):
            with suppress(KeyError):
                yield self._parse(name)

    def _list_names(self, source: Any, kind: str) -> list[Any]:
        from docx.opc.oxml import parse_xml
        from docx.opc.packuri import PackURI

        relations = self._reader.rels_xml_for(source)
        return [
            PackURI.from_rel_ref(source.baseURI, relation.get("Target"))
            for relation in (() if relations is None else parse_xml(relations))
            if relation.get("Type").rpartition("/")[2] == kind
        ]

    def _parse(self, name: Any) -> Any:
        from docx.opc.oxml import parse_xml

        return parse_xml(self._reader.blob_for(name))


def find_name(element: Any) -> str:
    """An element's own name; empty for a remark."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def find_attribute(element: Any, name: str) -> str:
    """An attribute's value; empty where there is none."""
    return next((value for key, value in element.items() if key.rpartition("}")[2] == name), "")


def list_children(element: Any, name: str) -> Iterator[Any]:
    """The children of that name; none of nothing."""
    return (child for child in (() if element is None else element) if find_name(child) == name)


def find_child(element: Any, *names: str) -> Any:
    """The first child of the first name, its first child of the next one, and so on; None where
    there is none."""
    for name in names:
        element = next(list_children(element, name), None)
    return element


def find_value(element: Any, *names: str) -> str:
    """What such a child says; empty where there is none."""
    child = find_child(element, *names)
    return "" if child is None else find_attribute(child, "val")
