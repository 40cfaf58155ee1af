"""migration.yaml: what people decide about a migration, with every mistake named at once."""

from landbridge.settings.document import Document, read, validate
from landbridge.settings.load import load, parse
from landbridge.settings.migration import CopyRules, Migration, ServiceSettings
from landbridge.settings.template import render_template

__all__ = [
    "CopyRules",
    "Document",
    "Migration",
    "ServiceSettings",
    "load",
    "parse",
    "read",
    "render_template",
    "validate",
]
