"""A connection to a gallery in Milvus: its two collections as a whole, see `remote_schema`."""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from data.distribution import install_command
from data.errors import GalleryError
from data.files import printable

from .address import MilvusAddress
from .remote_schema import rows_schema, templates_schema


class Connection:
    """A connection to a gallery's collections.

    Args:
        address: Where they are.

    Raises:
        GalleryError: pymilvus is not installed, or the server does not answer.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self._rows, self._templates = f"{address.name}_rows", f"{address.name}_templates"
        packages = ("pymilvus", "milvus_lite") if address.is_local else ("pymilvus",)
        if not all(map(importlib.util.find_spec, packages)):
            raise GalleryError(
                f"a gallery in Milvus needs pymilvus: {install_command('milvus')} (and "
                "milvus-lite, in an environment of its own, for a file)"
            )
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import pymilvus

        logging.getLogger("pymilvus").handlers = [logging.NullHandler()]  # errors are told by us
        self._pymilvus = pymilvus
        with self._told():
            self._client = pymilvus.MilvusClient(
                uri=address.uri, token=address.token, db_name=address.database, timeout=30
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what pymilvus raises into one line."""
        try:
            yield
        except self._pymilvus.MilvusException as error:
            if "not loaded" in str(error.message).lower():
                raise GalleryError(
                    f"the gallery {self.address}: Milvus has not loaded its collections "
                    f"{self._rows} and {self._templates}, so that nobody can be asked for: load "
                    "them with Milvus's own tools, or keep the gallery in a folder"
                ) from error
            raise GalleryError(
                f"the gallery {self.address}: Milvus says {printable(error.message)!r}; is it "
                "there, and not in use by another program where it is a file?"
            ) from error

    @property
    def exist(self) -> bool:
        """Whether the collections are there; rows are made last."""
        with self._told():
            return bool(self._client.has_collection(self._rows))

    def create(self, dimension: int) -> None:
        """Make them; another machine that was quicker makes no difference."""
        self.create_templates(dimension)
        self._create(self._rows, *rows_schema(self._pymilvus))

    def create_templates(self, dimension: int) -> None:
        """Make the templates' alone."""
        self._create(self._templates, *templates_schema(self._pymilvus, self.address, dimension))

    def _create(self, name: str, schema: Any, index: Any) -> None:
        with self._told():
            try:
                self._client.create_collection(
                    name, schema=schema, index_params=index, consistency_level="Strong"
                )
            except self._pymilvus.MilvusException:
                if not self._client.has_collection(name):
                    raise

    def drop_templates(self) -> None:
        """Remove the templates' collection, to make one of another dimension."""
        with self._told():
            self._client.drop_collection(self._templates)

    def settle(self) -> None:
        """Let what has been written be found quickly.

        A server sees to that by itself. Milvus Lite keeps what it has not flushed as it came, and
        goes through all of it with each question.
        """
        if self.address.is_local:
            with self._told():
                for name in (self._rows, self._templates):
                    self._client.flush(name)

    def compact(self) -> None:
        """Ask Milvus to let go of the bytes of what was removed; when it does is its own affair."""
        with self._told():
            for name in (self._rows, self._templates):
                self._client.flush(name)
                self._client.compact(name)

    @property
    def server(self) -> str:
        """Which Milvus it is."""
        if self.address.is_local:
            return "Milvus Lite"
        with self._told():
            return f"Milvus {self._client.get_server_version()}"

    @property
    def index(self) -> str:
        """The kind of index that the templates have."""
        with self._told():
            found = self._client.describe_index(self._templates, index_name="embedding")
        return str((found or {}).get("index_type", "none"))

    def close(self) -> None:
        """Let go of the connection."""
        with self._told():
            self._client.close()
