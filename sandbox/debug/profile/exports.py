# SPDX-License-Identifier: Apache-2.0
"""A profile for other people's tools: folded stacks, and speedscope's JSON."""

import json
from typing import Any

from sandbox.debug.profile.stacks import Frame, Profile, Stack


def folded(profile: Profile, *, by_core: bool = False) -> str:
    """A line for each stack, `outer;inner count`: what flamegraph.pl and many others read."""
    lines = [
        f"{';'.join(_word(frame.name) for frame in frames)} {count}\n"
        for frames, count in profile.counted(by_core=by_core)
    ]
    return "".join(sorted(lines))


def _word(name: str) -> str:
    """A name without what means something in the format."""
    return " ".join(name.replace(";", ":").split())


def speedscope(profile: Profile, title: str) -> str:
    """All cores together, and each in the order of time.

    https://github.com/jlfwong/speedscope/wiki/Importing-from-custom-sources
    """
    numbers: dict[Frame, int] = {}

    def sampled(name: str, stacks: list[Stack]) -> dict[str, Any]:
        return {
            "type": "sampled",
            "name": name,
            "unit": "seconds",
            "startValue": 0,
            "endValue": len(stacks) * profile.core_s,
            "samples": [
                [numbers.setdefault(frame, len(numbers)) for frame in stack.frames]
                for stack in stacks
            ],
            "weights": [profile.core_s] * len(stacks),
        }

    # Side by side, time means nothing: equal stacks are put together.
    merged = sorted(profile.stacks, key=lambda stack: [frame.name for frame in stack.frames])
    profiles = [sampled("all cores", merged)]
    for core in range(profile.cores):
        profiles.append(sampled(f"core {core}", [s for s in profile.stacks if s.core == core]))
    return json.dumps(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "name": title,
            "exporter": "optee-sandbox",
            "activeProfileIndex": 0,
            "shared": {
                "frames": [{"name": frame.name, "file": str(frame.kind)} for frame in numbers]
            },
            "profiles": profiles,
        }
    )
