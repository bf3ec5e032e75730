"""Checks that an object of yours does what ctxlocal needs of it.

May import: ``errors``, ``sessions``.
"""

from .store import StoreContractError as StoreContractError
from .store import check_async_store as check_async_store
from .store import check_store as check_store

__all__ = ["StoreContractError", "check_async_store", "check_store"]
