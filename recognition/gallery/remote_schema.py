"""A gallery's two collections in Milvus: templates, which are searched, and all other rows.

`NAME_templates` has a row for each template. `NAME_rows` has one for each row of the tables of
`schema`, its columns as JSON beside what they are asked for by; a long one is cut over several
rows. Milvus wants a vector in every collection, so that rows have one without meaning.
"""

from typing import Any

from .address import MilvusAddress


def rows_schema(pymilvus: Any) -> tuple[Any, Any]:
    """The fields of the rows, and how they are indexed."""
    types, schema = pymilvus.DataType, _schema(pymilvus)
    for name, length in (
        ("key", 120),
        ("row", 100),
        ("kind", 20),
        ("label", 64),
        ("deleted", 40),
        ("expires", 10),
    ):
        schema.add_field(name, types.VARCHAR, max_length=length, is_primary=name == "key")
    for name in ("part", "number", "owner"):
        schema.add_field(name, types.INT64)
    schema.add_field("body", types.VARCHAR, max_length=65_535)
    schema.add_field("unused", types.FLOAT_VECTOR, dim=2)
    index = pymilvus.MilvusClient.prepare_index_params()
    index.add_index("unused", index_type="FLAT", metric_type="IP")
    for name in ("row", "kind", "number", "owner", "label"):
        index.add_index(name, index_type="INVERTED")
    return schema, index


def templates_schema(pymilvus: Any, address: MilvusAddress, dimension: int) -> tuple[Any, Any]:
    """The fields of the templates, and how they are indexed, as their address says.

    Args:
        pymilvus: The package.
        address: The gallery's.
        dimension: How many numbers a template has, D.
    """
    types, schema = pymilvus.DataType, _schema(pymilvus)
    schema.add_field("id", types.INT64, is_primary=True)
    schema.add_field("person", types.INT64)
    schema.add_field("photograph", types.VARCHAR, max_length=64)
    schema.add_field("digest", types.VARCHAR, max_length=64)
    schema.add_field("embedding", types.FLOAT_VECTOR, dim=dimension)
    index = pymilvus.MilvusClient.prepare_index_params()
    index.add_index(
        "embedding",
        index_type=address.index,
        metric_type=address.metric,
        params=dict(address.building),
    )
    for name in ("person", "photograph"):
        index.add_index(name, index_type="INVERTED")
    return schema, index


def _schema(pymilvus: Any) -> Any:
    return pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
