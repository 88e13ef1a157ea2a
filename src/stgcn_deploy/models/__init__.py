"""Families: reference forms and their deploy forms."""
