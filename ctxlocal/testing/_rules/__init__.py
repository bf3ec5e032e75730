"""The rules of a store's protocol, one function each, by chapters; its docstring is the rule."""

from .chapters import RULES as RULES
from .rule import Rule as Rule

__all__ = ["RULES", "Rule"]
