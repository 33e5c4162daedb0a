"""The text that load_state_dict shows when a state does not fit: grouped, short, with the nearest names."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moka._C import Tensor

from .parameter import is_lazy

__all__ = ["state_errors"]

_SHOWN_GROUPS = 12
_SHOWN_NAMES = 6  # so many in full; more are grouped


def state_errors(
    owner: str,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    missing: list[str],
    unexpected: list[str],
    strict: bool,
    assign: bool,
) -> str:
    """All reasons why `given` cannot be loaded into `own`, as one text; "" when it can be."""
    wrong = [text for name in own if name in given for text in _value_error(name, own[name], given[name])]
    if not strict:
        missing, unexpected = [], []
    if not (missing or unexpected or wrong):
        return ""
    counts = [
        f"{len(names)} {what}"
        for names, what in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (wrong, "of another kind or shape"),
        )
        if names
    ]
    lines = [f"load_state_dict: Error(s) in loading state_dict for {owner}: {', '.join(counts)}"]
    prefix = _common_prefix(missing, unexpected)
    if prefix:
        lines.append(
            f"  every name in the state begins with {prefix!r}; load "
            f"{{name.removeprefix({prefix!r}): value for name, value in state.items()}}"
        )
    else:
        lines += _section("Missing key(s) in state_dict:", missing, unexpected)
        lines += _section("Unexpected key(s) in state_dict:", unexpected, missing)
    if wrong:
        lines.append("  of another kind or shape:")
        lines += [f"    {text}" for text in wrong[:_SHOWN_GROUPS]]
        if len(wrong) > _SHOWN_GROUPS:
            lines.append(f"    ... and {len(wrong) - _SHOWN_GROUPS} more")
    if missing or unexpected:
        lines.append("  strict=False loads the names that both have")
    return "\n".join(lines)


def _value_error(name: str, own: Any, given: Any) -> list[str]:
    if not isinstance(own, Tensor):
        return []
    if not isinstance(given, Tensor):
        return [
            f"{name}: expected torch.Tensor or Tensor-like object from checkpoint but received {type(given)}"
        ]
    if is_lazy(own) and is_lazy(given):
        return []
    if tuple(own.shape) != tuple(given.shape):
        return [
            f"size mismatch for {name}: the module has {list(own.shape)}, the state has {list(given.shape)}"
        ]
    return []


def _common_prefix(missing: list[str], unexpected: list[str]) -> str:
    """What stands before every unexpected name, if without it they are exactly the missing ones."""
    if not missing or len(missing) != len(unexpected):
        return ""
    first = next((name for name in unexpected if name.endswith("." + missing[0])), "")
    prefix = first[: len(first) - len(missing[0])]
    return prefix if prefix and {prefix + name for name in missing} == set(unexpected) else ""


def _section(title: str, names: list[str], others: list[str]) -> list[str]:
    """Names in full, or grouped by module ("conv1: weight, bias") where they are many, with the nearest name
    on the other side.
    """
    if not names:
        return []
    if len(names) <= _SHOWN_NAMES:
        lines = [f"  {title} " + ", ".join(f'"{name}"' for name in names) + "."]
        for name in names if title.startswith("Missing") else ():
            if near := _nearest(name, others):
                lines.append(f"    {name}: nearest on the other side: {near}")
        return lines
    groups: dict[str, list[str]] = {}
    for name in names:
        place, _, leaf = name.rpartition(".")
        groups.setdefault(place, []).append(leaf)
    lines = [f"  {title}"]
    for place, leaves in list(groups.items())[:_SHOWN_GROUPS]:
        full = f"{place}.{leaves[0]}" if place else leaves[0]
        near = _nearest(full, others)
        shown = ", ".join(leaves[:8]) + (f", ... ({len(leaves)} names)" if len(leaves) > 8 else "")
        hint = f"   (nearest on the other side: {near})" if near else ""
        lines.append(f"    {place}: {shown}{hint}" if place else f"    {shown}{hint}")
    if len(groups) > _SHOWN_GROUPS:
        hidden = sum(len(leaves) for leaves in list(groups.values())[_SHOWN_GROUPS:])
        lines.append(f"    ... and {hidden} more in {len(groups) - _SHOWN_GROUPS} modules")
    return lines


def _nearest(name: str, others: list[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, others[:2000], n=1, cutoff=0.6)), "")
