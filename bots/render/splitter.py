"""Packs blocks into pieces that fit a platform's message, cutting only what fits in none.

Blocks stay whole where they can; a long one is cut at a line's end, a sentence or a space. Each
part of cut code is code of the same language again, so that no piece leaves a fence open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, final

from bots.render.blocks import Block, find_cut

Piece = tuple[Block, ...]

#: A block too long for any piece begins in the present one if at least this share is left.
_MIN_SPACE_SHARE = 3


class MessageStyle(Protocol):
    """A style says how a platform shows blocks, as far as the splitter must know."""

    @property
    def limit(self) -> int:
        """What one message holds, in UTF-16 units."""
        ...

    def measure(self, block: Block) -> int:
        """What a block takes of a message, in UTF-16 units, its gap included; at least its
        characters."""
        ...


def split_blocks(blocks: Sequence[Block], style: MessageStyle) -> list[Piece]:
    """The pieces, in order, each within the style's limit; none is empty."""
    packer = _Packer(style)
    for block in blocks:
        packer.add(block)
    return packer.finish()


@final
class _Packer:
    def __init__(self, style: MessageStyle) -> None:
        self._style = style
        self._limit = style.limit
        self._pieces: list[Piece] = []
        self._piece: list[Block] = []
        self._used = 0

    def finish(self) -> list[Piece]:
        if self._piece:  # whatever it ends with: nothing follows that it could go with
            self._pieces.append(tuple(self._piece))
        return self._pieces

    def add(self, block: Block) -> None:
        rest = block
        while not self._fits(rest, 0):
            space_left = self._limit - self._used
            if self._piece and space_left < self._limit // _MIN_SPACE_SHARE:
                self._close()
                continue
            part, rest = self._cut(rest)
            self._put(part)
            self._close()
        if not rest.text:
            return
        # A heading that moved along may leave too little room: then it stands alone after all.
        while not self._fits(rest, self._used):
            self._close()
        self._put(rest)

    def _fits(self, block: Block, used: int) -> bool:
        # A long text isn't measured for each of its pieces.
        left = self._limit - used
        return len(block.text) <= left and self._style.measure(block) <= left

    def _put(self, block: Block) -> None:
        if block.text.strip():
            self._piece.append(block)
            self._used += self._style.measure(block)

    def _close(self) -> None:
        if self._piece:
            heading = self._hanging_heading()
            self._pieces.append(tuple(self._piece))
            self._piece, self._used = [], 0
            if heading is not None:
                self._put(heading)

    def _hanging_heading(self) -> Block | None:
        """A heading that would end a piece goes with what it heads."""
        last = self._piece[-1]
        is_heading = (
            len(last.marks) == 1
            and last.marks[0].kind == "bold"
            and (
                last.marks[0].start,
                last.marks[0].end,
            )
            == (0, len(last.text))
        )
        return self._piece.pop() if is_heading and len(self._piece) > 1 else None

    def _cut(self, block: Block) -> tuple[Block, Block]:
        """The most of a block that still fits into the present piece, and the rest."""
        low, high = 1, min(len(block.text), self._limit)
        while low < high:
            middle = (low + high + 1) // 2
            if self._fits(block.slice_text(0, middle), self._used):
                low = middle
            else:
                high = middle - 1
        end, start = find_cut(block.text, low, code=block.code)
        while end > 1 and not self._fits(block.slice_text(0, end), self._used):
            # Less text may take more: what is only the beginning of an address is escaped.
            low = end - 1
            end, start = find_cut(block.text, low, code=block.code)
        rest = replace(block.slice_text(start, len(block.text)), gap=1)
        return block.slice_text(0, end), rest
