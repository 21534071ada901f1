"""What pictures count as: our bounds and the tests' own counter beside LiteLLM's estimate.

    python -m benchmarks.picture_counts --python <an environment with LiteLLM>/bin/python

LiteLLM is a second opinion, installed apart (`make bench-peers` does it): it is asked for every
model of OpenAI's and Anthropic's that sees, at `detail: high`, over pictures as they are sent. What
differs is listed: by how much LiteLLM's count is of the bound, and of the counter.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
from pathlib import Path
from typing import Final

from core.attachments.types import PICTURE_SIDE_MAX, PictureSize
from core.pricing.catalogue import Catalogue
from tests.peers.picture_counts import find_count

_SUPPLIERS: Final = ("openai", "anthropic")
#: Runs beside LiteLLM: a picture is a PNG's header, which is all that it reads.
_ESTIMATE: Final = """
import base64, json, struct, sys, zlib
from litellm.litellm_core_utils.token_counter import estimate_image_tokens
def url(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + head))
    data = b"\\x89PNG\\r\\n\\x1a\\n" + chunk
    return "data:image/png;base64," + base64.b64encode(data).decode()
asked = json.load(sys.stdin)
sizes = [url(*size) for size in asked["sizes"]]
print(json.dumps({model: [estimate_image_tokens(model, one, "high") for one in sizes]
                  for model in asked["models"]}))
"""
#: What LiteLLM says of a model that it has no rule for.
_UNKNOWN: Final = 250


def _make_sizes(count: int) -> list[tuple[int, int]]:
    chance = random.Random(20)
    drawn = (
        (chance.randint(1, PICTURE_SIDE_MAX), chance.randint(1, PICTURE_SIDE_MAX))
        for _ in range(count)
    )
    corners = itertools.product((1, 512, 768, 769, 1_024, PICTURE_SIDE_MAX), repeat=2)
    return [*corners, *drawn]


def _estimate(
    python: Path, models: list[str], sizes: list[tuple[int, int]]
) -> dict[str, list[int]]:
    asked = json.dumps({"models": models, "sizes": sizes})
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    command = [python, "-c", _ESTIMATE]
    ran = subprocess.run(
        command, input=asked, env=environment, capture_output=True, check=True, text=True
    )
    estimates: dict[str, list[int]] = json.loads(ran.stdout.splitlines()[-1])
    return estimates


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", type=Path, default=Path(".bench/litellm/bin/python"))
    parser.add_argument("--pictures", type=int, default=500)
    args = parser.parse_args()
    sizes = _make_sizes(args.pictures)
    routes = {
        route.model: route
        for model in Catalogue.load().models.values()
        for route in model.routes
        if route.provider in _SUPPLIERS and route.pictures
    }
    estimates = _estimate(args.python, list(routes), sizes)
    print(f"{'':24}{len(sizes)} pictures: LiteLLM ÷ our bound, LiteLLM ÷ our counter")
    for name, route in routes.items():
        count, told = find_count(route.provider, name), estimates[name]
        bounds = [route.count_pictures([PictureSize(*size)]) for size in sizes]
        if count is None or None in bounds or set(told) == {_UNKNOWN}:
            print(f"{name:24}LiteLLM has no rule")
            continue
        of_bound = sorted(
            one / bound.units for one, bound in zip(told, bounds, strict=True) if bound is not None
        )
        of_count = sorted(one / count(*size) for one, size in zip(told, sizes, strict=True))
        alike = sum(ratio == 1 for ratio in of_count)
        print(
            f"{name:24}{of_bound[0]:.2f}–{of_bound[-1]:.2f}   {of_count[0]:.2f}–{of_count[-1]:.2f}"
            f"   {alike} alike"
        )


if __name__ == "__main__":
    main()
