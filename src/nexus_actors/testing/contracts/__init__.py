"""What each abstract class promises, as tests that an implementation inherits.

Subclass the contract in a test module of your own, say what is tested, and pytest runs
every promise::

    class TestOurStore(CredentialStoreContract):
        @pytest.fixture
        def store(self):
            return OurStore()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_actors.core.lazy import lazy_names


if TYPE_CHECKING:
    from .collector import CollectorContract
    from .credential_store import CredentialStoreContract
    from .provider import HttpProviderContract, ProviderContract, Says
    from .publisher import PublisherContract
    from .vendor import VendorContract
else:
    # before they are imported: their assertions shall show the values
    names = ("collector", "credential_store", "provider", "publisher", "vendor")
    pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in names))
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".collector": ("CollectorContract",),
            ".credential_store": ("CredentialStoreContract",),
            ".provider": ("HttpProviderContract", "ProviderContract", "Says"),
            ".publisher": ("PublisherContract",),
            ".vendor": ("VendorContract",),
        },
    )


__all__ = [
    "CollectorContract",
    "CredentialStoreContract",
    "HttpProviderContract",
    "ProviderContract",
    "PublisherContract",
    "Says",
    "VendorContract",
]
