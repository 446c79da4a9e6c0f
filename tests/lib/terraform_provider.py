"""Providers of Terraform that know their real schemas and nothing else, for `terraform validate`, `plan` and `test`."""

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import msgpack
from terraform_schemas import Block, NestedBlock, messages, schemas

services = grpc.services("terraform_plugin.proto")
# What Terraform calls "known after apply".
UNKNOWN = msgpack.ExtType(0, b"\0")


class SchemaProvider(services.ProviderServicer):
    """Accepts all that fits the schema; every value that Google would fill in is unknown in a plan."""

    def __init__(self, answer: messages.Schemas):
        self._schemas = answer

    def GetSchema(self, request, context):  # noqa: N802 (the protocol's name)
        return self._schemas

    def PrepareProviderConfig(self, request, context):  # noqa: N802
        return messages.Prepare.Response(prepared_config=request.config)

    def ValidateResourceTypeConfig(self, request, context):  # noqa: N802
        return messages.Empty()

    def ValidateDataSourceConfig(self, request, context):  # noqa: N802
        return messages.Empty()

    def Configure(self, request, context):  # noqa: N802
        return messages.Empty()

    def Stop(self, request, context):  # noqa: N802
        return messages.Empty()

    def PlanResourceChange(self, request, context):  # noqa: N802
        proposed = msgpack.unpackb(request.proposed_new_state.msgpack, strict_map_key=False)
        block = self._schemas.resource_schemas[request.type_name].block
        planned = None if proposed is None else _planned(proposed, block)
        return messages.Plan.Response(planned_state=messages.DynamicValue(msgpack=msgpack.packb(planned)))


def _planned(values: dict, block: Block) -> dict:
    """`values` with unknown ones for what is computed and not set, and without what is written only."""
    planned = dict(values)
    for each in block.attributes:
        if each.write_only:
            planned[each.name] = None
        elif each.computed and values[each.name] is None:
            planned[each.name] = UNKNOWN
    for nested in block.block_types:
        inner = values[nested.type_name]
        if nested.nesting == NestedBlock.SINGLE:
            planned[nested.type_name] = inner and _planned(inner, nested.block)
        elif isinstance(inner, list):
            planned[nested.type_name] = [_planned(each, nested.block) for each in inner]
    return planned


@contextmanager
def providers(text: str) -> Iterator[dict[str, str]]:
    """Serve what the `text` of modules uses; gives the variables by which terraform uses these providers."""
    servers, addresses = [], {}
    for name in sorted(set(re.findall(r'source += "hashicorp/(\w+)"', text))):
        server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", -1)])
        services.add_ProviderServicer_to_server(SchemaProvider(schemas(name, text)), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        addresses[f"registry.terraform.io/hashicorp/{name}"] = {
            "Protocol": "grpc",
            "ProtocolVersion": 5,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps(addresses)}
    finally:
        for server in servers:
            server.stop(None).wait()
