"""What a service's model says of a request and a reply.

Holds: a reply passes only without nulls and unknown members, with every required member and the right types.
"""
import functools

import botocore.session

SESSION = botocore.session.get_session()
NAMES = {"monitoring": "cloudwatch"}
"""botocore's name of a service, where it is not that of its signatures."""
COMMON = {
    "AccessDeniedException", "SerializationException", "ThrottlingException", "ValidationException", "ValidationError",
    "InvalidParameterException", "InvalidParameterValue", "InvalidParameterCombination", "MissingParameter", "MalformedInput",
    "MalformedQueryString", "RequestEntityTooLarge", "UnsupportedOperationException", "UnknownOperationException", "InvalidAction",
    "MissingAction",
}
"""Errors that any operation of any service may answer."""
EC2 = {
    "InvalidGroup.NotFound", "InvalidSubnetID.NotFound", "InvalidVpcID.NotFound", "InvalidNextToken", "DryRunOperation",
    "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed", "InvalidInstanceType", "UnsupportedOperation",
}
"""EC2's model names no errors; these are in its documentation."""
WHOLE, NUMBER = {"integer", "long"}, {"float", "double", "timestamp"}


class Breach(Exception):
    """Where and how a value breaks the model."""


@functools.cache
def service(name):
    return SESSION.get_service_model(NAMES.get(name, name))


def operation(name, op):
    return service(name).operation_model(op)


def speaks_json(name):
    return "json" in (service(name).metadata.get("protocols") or [service(name).metadata["protocol"]])


@functools.cache
def errors(name, op):
    """The codes that the operation may answer, by their shapes' names and by their older codes."""
    shapes = operation(name, op).error_shapes
    if name != "ecs":
        # Their models name few errors with each operation; another one of the same service is as good.
        shapes = [shape for other in service(name).operation_names for shape in operation(name, other).error_shapes]
    if name == "ec2":
        return COMMON | EC2
    return COMMON | {shape.name for shape in shapes} | {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}


def check(shape, value, path=""):
    """Raises for a value that is not the shape's."""
    kind = shape.type_name
    if value is None:
        raise Breach(f"{path}: null")
    if kind == "structure":
        structure(shape, expect(value, dict, path, kind), path)
    elif kind == "list":
        for index, item in enumerate(expect(value, list, path, kind)):
            check(shape.member, item, f"{path}[{index}]")
    elif kind == "map":
        for name, item in expect(value, dict, path, kind).items():
            check(shape.value, item, f"{path}.{name}")
    elif kind == "string":
        expect(value, str, path, kind)
        if shape.enum and value not in shape.enum:
            raise Breach(f"{path}: {value!r} is none of {shape.enum}")
    elif kind == "boolean":
        expect(value, bool, path, kind)
    elif kind == "blob":
        expect(value, str, path, kind)
    elif kind in WHOLE | NUMBER and (isinstance(value, bool) or not isinstance(value, int if kind in WHOLE else (int, float))):
        raise Breach(f"{path}: {value!r} is no {kind}")


def structure(shape, value, path):
    if getattr(shape, "is_document_type", False):
        return
    for name, item in value.items():
        if name not in shape.members:
            raise Breach(f"{path}.{name}: no such member")
        check(shape.members[name], item, f"{path}.{name}")
    for name in shape.required_members:
        if name not in value:
            raise Breach(f"{path}.{name}: a required member is missing")


def expect(value, kind, path, wanted):
    if not isinstance(value, kind):
        raise Breach(f"{path}: {value!r:.80} is no {wanted}")
    return value


def check_reply(name, op, reply):
    shape = operation(name, op).output_shape
    if shape is not None:
        check(shape, reply)
    elif reply:
        raise Breach(f"the operation has no output: {reply!r:.80}")
