"""Humans and beliefs as rows, joined."""
