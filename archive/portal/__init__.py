"""The pages for people: what is here, tables and columns, a query with its rows and its sky."""

from archive.portal.pages import Portal

__all__ = ["Portal"]
