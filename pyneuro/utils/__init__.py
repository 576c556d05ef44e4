"""Homes of torch's `utils`, so that programs written for it port by their import lines."""

from pyneuro.utils import data

__all__ = ["data"]
