"""Topics that others write: their records are decoded, mapped and appended as events."""
