"""Schemas of Terraform providers, read from the wheels of their bindings (cdktf-cdktf-provider-…).

A wheel holds a JavaScript class and a TypeScript declaration for each resource. They tell names, types, nesting and
what is required; not the allowed values or which arguments exclude each other, which only the provider's code checks.
"""

import json
import re
import tarfile
from importlib import metadata
from pathlib import Path

import grpc

messages = grpc.protos("terraform_plugin.proto")
Block = messages.Schema.Block
NestedBlock = messages.Schema.NestedBlock

# The scalar or collection that a getter or an argument of the bindings has, as Terraform writes types.
TYPES = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    **{f"{name}List": ["list", of] for name, of in (("string", "string"), ("number", "number"))},
    **{f"{name}Map": ["map", of] for name, of in (("string", "string"), ("number", "number"), ("boolean", "bool"))},
    "list": ["list", "string"],
}
ARGUMENT = re.compile(
    r'(\w+): \{\s*value: (?P<value>.*?),\s*isBlock: (?P<block>\w+),\s*type: "(?P<kind>\w+)",\s*'
    r'storageClassType: "(?P<type>\w+)"',
    re.DOTALL,
)


class Bindings:
    """The text of one resource, or of the provider itself, in the bindings: JavaScript and its declaration."""

    def __init__(self, script: str, declaration: str):
        self._script = script
        # interface -> the arguments that are not optional
        self._required = {
            name: set(re.findall(r"readonly (\w+):", body))
            for name, body in re.findall(r"export interface (\w+)[^{]*\{(.*?)\n\}", declaration, re.DOTALL)
        }
        config = re.search(r"export interface (\w+)Config (?:extends cdktf|\{)", declaration)
        assert config, "the bindings declare no configuration"
        self._name = config[1]

    def schema(self) -> messages.Schema:
        """The schema of the resource, or of the provider."""
        body = self._found(r"synthesizeHclAttributes\(\) \{(.*?)\n    \}")
        return messages.Schema(block=self._block(body, f"{self._name}Config", self._name))

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self._script, re.DOTALL)
        assert found, f"the bindings of {self._name} have no {pattern}"
        return found[1]

    def _block(self, body: str, interface: str, reader: str) -> Block:
        """The block that a function's `body` writes; `reader` is the class with its getters."""
        block, known = Block(), set()
        for argument in ARGUMENT.finditer(body):
            name = argument[1]
            known.add(name)
            # `this._camelCase`, `struct.camelCase`
            property_name = re.search(r"(?:this\._|struct\.)(\w+)", argument["value"])[1]
            required = property_name in self._required[interface]
            if argument["block"] == "true":
                block.block_types.append(self._nested(name, argument, required))
            else:
                kind = TYPES[argument["type"]]
                if argument["kind"] == "set":
                    kind = ["set", kind[1]]
                write_only = name.endswith("_wo")
                block.attributes.add(
                    name=name,
                    type=json.dumps(kind).encode(),
                    required=required,
                    optional=not required,
                    computed=not required and not write_only,
                    write_only=write_only,
                )
        for name, kind in self._getters(reader).items():
            if name not in known:
                block.attributes.add(name=name, type=json.dumps(kind).encode(), computed=True)
        return block

    def _nested(self, name: str, argument: re.Match, required: bool) -> NestedBlock:
        function = re.search(r"(\w+)ToHclTerraform", argument["value"])[1]
        class_name = function[0].upper() + function[1:]
        body = self._found(rf"\nfunction {function}ToHclTerraform\(struct\) \{{(.*?)\n\}}")
        block = self._block(body, class_name, f"{class_name}OutputReference")
        if argument["kind"] == "struct":
            return NestedBlock(type_name=name, block=block, nesting=NestedBlock.SINGLE)
        return NestedBlock(
            type_name=name,
            block=block,
            nesting=NestedBlock.SET if argument["kind"] == "set" else NestedBlock.LIST,
            min_items=int(required),
            max_items=0 if "listMapperHcl" in argument["value"] else 1,
        )

    def _getters(self, class_name: str) -> dict:
        """Name and type of each attribute that a class of the bindings can read."""
        body = re.search(rf"\nclass {class_name} extends (.*?)\n\}}", self._script, re.DOTALL)
        if not body:
            return {}
        found = {
            name: TYPES[kind[0].lower() + kind[1:]]
            for kind, name in re.findall(r"this\.get(\w+)Attribute\('(\w+)'\)", body[1])
        }
        for kind, name, wraps_set in re.findall(r'= new (?:\w+\.)?(\w+)List\(this, "(\w+)", (true|false)\)', body[1]):
            items = ["object", self._getters(f"{kind}OutputReference")]
            found[name] = ["set" if wraps_set == "true" else "list", items]
        for kind, name in re.findall(r'= new cdktf\.(\w+Map)\(this, "(\w+)"', body[1]):
            found[name] = TYPES[kind[0].lower() + kind[1:]]
        return found


def schemas(provider: str, text: str) -> messages.Schemas:
    """Schema of a provider, `google` for example, and of its resources and data sources in the `text` of modules."""
    package = f"cdktf_cdktf_provider_{provider}"
    archives = [file for file in metadata.files(package) if file.name.endswith(".jsii.tgz")]
    assert len(archives) == 1, f"{package} should hold one archive"
    wanted = {
        # The resource google_storage_bucket is in the folder storage-bucket, the data source google_project in
        # data-google-project.
        (type_.removeprefix(f"{provider}_") if kind == "resource" else f"data_{type_}").replace("_", "-"): (kind, type_)
        for kind, type_ in re.findall(r'^(resource|data) "(\w+)"', text, re.MULTILINE)
        if type_.startswith(f"{provider}_")
    }
    texts = _texts(Path(archives[0].locate()), {"provider", *wanted})
    answer = messages.Schemas(provider=Bindings(*texts.pop("provider")).schema())
    for folder, found in texts.items():
        kind, type_ = wanted[folder]
        kinds = answer.resource_schemas if kind == "resource" else answer.data_source_schemas
        kinds[type_].CopyFrom(Bindings(*found).schema())
    return answer


def _texts(archive: Path, folders: set[str]) -> dict[str, tuple[str, str]]:
    """JavaScript and declaration by folder, of the folders that the archive has; large ones are several files."""
    texts = {}
    with tarfile.open(archive) as members:
        for member in members:
            found = re.fullmatch(r"package/lib/([\w-]+)/.*?(\.js|\.d\.ts)", member.name)
            if found and found[1] in folders:
                text = texts.setdefault(found[1], {".js": "", ".d.ts": ""})
                text[found[2]] += members.extractfile(member).read().decode()
    return {folder: (text[".js"], text[".d.ts"]) for folder, text in texts.items()}
