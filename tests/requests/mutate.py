"""Breaks a request: a member of it, or its bytes.

Out: the body, and whether the model says that it must be refused.
"""
import copy

import wire

MAY, MUST = False, True
WRONG = {"string": [7, True, {}, []], "structure": ["x", 5, [], True], "list": ["x", {}, 5], "map": ["x", [], 5], "boolean": ["x", 1, {}],
         "integer": ["x", True, {}, 2**40], "long": ["x", True, [], 2**70], "timestamp": ["x", True, {}], "double": ["x", True], "float": ["x", True], "blob": [5, {}, "*"]}
HUGE = [0, -1, 2**31 - 1, -(2**31), 1e300, 0.5]
TEXTS = ["", " ", "\0", "\x7f", "a" * 300, "../" * 20, "%00", "é" * 300, "\ud800", "${x}", "'\"<&>", "arn:aws:ecs", "arn:::::", "arn:aws:ecs:us-east-1:000000000000:task/",
         "arn:aws:ecs:us-east-1:999999999999:cluster/default", "arn:aws:ecs:eu-west-1:000000000000:task/default/" + "0" * 32, "arn:aws:s3:::x", "a:1:2", ":", "/", "a/b/c/d", "-1", "9" * 40]
GARBAGE = [b"{", b"[]", b'"x"', b"5", b'{"a":}', b"\xff\xfe", b'{"a":"\xc3\x28"}', b"[" * 3000, b'{"a":' * 3000, b"\0" * 100, b"{}{}", b"{'a':1}", b"<a/>"]


def places(value, shape, found):
    """Every member and item with its shape: (holder, key, shape, is required)."""
    if shape is None:
        return found
    if shape.type_name == "structure" and isinstance(value, dict):
        for name in value:
            if name in shape.members:
                found.append((value, name, shape.members[name], name in shape.required_members))
                places(value[name], shape.members[name], found)
    elif shape.type_name == "list" and isinstance(value, list):
        for index in range(len(value)):
            found.append((value, index, shape.member, True))
            places(value[index], shape.member, found)
    elif shape.type_name == "map" and isinstance(value, dict):
        for name in value:
            found.append((value, name, shape.value, False))
            places(value[name], shape.value, found)
    return found


def break_bytes(service, op, value, choose):
    body = wire.written(service, op, value)
    if not wire.model.speaks_json(service):
        cut = choose.randrange(len(body))
        return choose.choice([body[:cut], body.replace(b"=", b"=%ff", 3), body + b"&a.1.1=%", body.replace(b".1", b".99999999999")]), MAY
    kind = choose.randrange(4)
    if kind == 0 and len(body) > 2:
        return body[:choose.randrange(1, len(body) - 1)], MUST
    if kind == 1:
        return body[:-1] + (b',"zzz":"\xff\xfe"}' if len(body) > 2 else b'"zzz":"\xff\xfe"}'), MUST
    if kind == 2:
        cut = choose.randrange(len(body))
        return body[:cut] + choose.randbytes(3) + body[cut:], MAY
    return choose.choice(GARBAGE), MUST


def mutate(service, op, value, shape, choose):
    """One or two faults; a fault below a member that another one replaced does not count."""
    if choose.random() < 0.2 or shape is None:
        return break_bytes(service, op, value, choose)
    value = copy.deepcopy(value)
    if choose.random() < 0.1:
        value["zz" + "z" * choose.choice([0, 1000])] = choose.choice([None, 1, {"a": [None]}, "y" * choose.choice([10, 100_000])])
    found = places(value, shape, [])
    if not found:
        return wire.written(service, op, value), MAY
    verdict = fault(*choose.choice(found), choose)
    return wire.written(service, op, value), verdict and wire.model.speaks_json(service)


def fault(holder, key, shape, required, choose):
    """Puts one fault in; whether the model forbids it."""
    kind = choose.choice(["type", "null", "gone", "text", "number", "many", "enum"])
    if kind == "type" and shape.type_name in WRONG and not getattr(shape, "is_document_type", False):
        holder[key] = choose.choice(WRONG[shape.type_name])
        return MUST
    if kind == "null":
        holder[key] = None
        return required
    if kind == "gone" and isinstance(holder, dict):
        del holder[key]
        return required
    if kind == "many" and isinstance(holder[key], list) and holder[key]:
        holder[key] = holder[key] * choose.choice([2, 30, 300])
    elif shape.type_name == "string" and key != "image":
        if kind == "enum" and shape.enum:
            holder[key] = "NO_SUCH_THING"
            return MUST
        holder[key] = choose.choice(TEXTS) if choose.random() < 0.95 else "h" * 200_000
        return bool(shape.enum)
    elif shape.type_name in wire.model.WHOLE | wire.model.NUMBER:
        holder[key] = choose.choice(HUGE)
    return MAY


