"""The documentation pages of the checks, rendered from the table so that no check is without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from landbridge.assess.check import Check

INDEX = "docs/checks/index.md"


def render_page(check: Check) -> str:
    """The page of one check."""
    return f"""\
# {check.title}

`{check.name}` · {check.severity.value}

**What it sees.** {check.what}

**Why it matters.** {check.why}

**What to do.** {check.advice[0].upper()}{check.advice[1:]}.

Accept it in `migration.yaml`, if it is fine as it is:

```yaml
accepted:
  - {{check: {check.name}, object: "*", reason: why this is fine, date: 2026-11-21}}
```

All checks: [index](index.md).
"""


def render_pages(checks: Iterable[Check]) -> Mapping[str, str]:
    """Path to text of every page, the index included."""
    checks = tuple(checks)
    rows = [f"| [{check.name}]({check.name}.md) | {check.severity.value} | {check.title} |" for check in checks]
    index = "\n".join(
        [
            "# Checks",
            "",
            "`landbridge assess` asks the inventory these questions. A blocker stops the plan until it is mended or",
            "accepted, a warning wants a look, a note is to be known. Titles say the good condition.",
            "",
            "| check | severity | good when |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )
    return {INDEX: index, **{check.page: render_page(check) for check in checks}}
