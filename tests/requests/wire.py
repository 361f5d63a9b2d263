"""Requests and replies in a service's protocol, over one connection that is kept.

In: an operation and its input, or bytes. Out: status, error code, message and the reply as the model's JSON.
"""
import http.client
import json
import urllib.parse
import xml.etree.ElementTree as xml

import model

PATIENCE_SECS = 30
"""An answer that takes longer is a hang."""


class Wire:
    def __init__(self, port, account="000000000000", region="us-east-1"):
        self.port, self.account, self.region = port, account, region
        self.http = None

    def post(self, headers, body):
        """An idle connection may have been closed: then, and only then, it is tried once more."""
        kept = self.http is not None
        if not kept:
            self.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECS)
        try:
            self.http.request("POST", "/", body, headers)
            answer = self.http.getresponse()
            return answer.status, answer.read()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.http.close()
            self.http = None
            if not kept:
                raise
            return self.post(headers, body)
        except BaseException:
            self.http.close()
            self.http = None
            raise

    def headers(self, service, op):
        credentials = signed(service, self.account, self.region)
        if not model.speaks_json(service):
            return {**credentials, "Content-Type": "application/x-www-form-urlencoded"}
        metadata = model.service(service).metadata
        kind = f"application/x-amz-json-{metadata['jsonVersion']}"
        return {**credentials, "Content-Type": kind, "X-Amz-Target": f"{metadata['targetPrefix']}.{op}"}

    def send(self, service, op, body):
        status, text = self.post(self.headers(service, op), body)
        read = from_json if model.speaks_json(service) else from_xml
        return (status, *read(service, op, status, text))


def signed(service, account="000000000000", region="us-east-1"):
    """Says who calls; nobody looks at signatures here."""
    scope = f"{account}/20260101/{region}/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00", "X-Amz-Date": "20260101T000000Z"}


def written(service, op, value):
    """The body of a request."""
    if model.speaks_json(service):
        return json.dumps(value).encode()
    fields = {"Action": op, "Version": model.service(service).api_version}
    if isinstance(value, dict):
        shape = model.operation(service, op).input_shape
        flatten(fields, "", value, shape, is_ec2(service))
    return urllib.parse.urlencode(fields, errors="surrogatepass").encode()


def is_ec2(service):
    """EC2 has a form of its own: names of its own in both directions, lists without `member`, replies without a wrapper."""
    return model.service(service).metadata["protocol"] == "ec2"


def flatten(fields, path, value, shape, ec2):
    """As `Tags.member.1.Key`; on EC2 as `Filter.1.Name`."""
    kind = getattr(shape, "type_name", None)
    if isinstance(value, dict):
        for name, item in value.items():
            member = shape.members.get(name) if kind == "structure" else None
            if ec2 and member is not None:
                said = member.serialization.get("queryName") or member.serialization.get("name", name)
                name = said[0].upper() + said[1:]
            flatten(fields, f"{path}.{name}" if path else name, item, member, ec2)
    elif isinstance(value, list):
        for index, item in enumerate(value, 1):
            flatten(fields, f"{path}.{index}" if ec2 else f"{path}.member.{index}", item, shape.member if kind == "list" else None, ec2)
    elif value is not None:
        fields[path] = str(value).lower() if isinstance(value, bool) else value


def from_json(service, op, status, text):
    try:
        reply = json.loads(text or b"{}")
    except ValueError as error:
        raise model.Breach(f"no JSON: {text[:200]!r}") from error
    if status == 200:
        return None, None, reply
    return reply.get("__type"), reply.get("message", ""), reply


def from_xml(service, op, status, text):
    try:
        root = xml.fromstring(text)
    except xml.ParseError as error:
        raise model.Breach(f"no XML: {text[:200]!r}") from error
    if status != 200:
        find = lambda name: next((node.text or "" for node in root.iter() if tag(node) == name), None)
        return find("Code"), find("Message"), None
    shape = model.operation(service, op).output_shape
    if shape is None:
        return None, None, {}
    if is_ec2(service):
        return None, None, value_of(shape, [node for node in root if tag(node) != "requestId"])
    wrapper = shape.serialization.get("resultWrapper")
    inner = next((node for node in root if tag(node) == wrapper), None)
    if inner is None:
        raise model.Breach(f"no {wrapper}: {text[:200]!r}")
    return None, None, value_of(shape, inner)


def tag(node):
    return node.tag.rsplit("}", 1)[-1]


def value_of(shape, node):
    """What an element says; what the model does not know stays, so that it is found."""
    kind = shape.type_name
    if kind == "structure":
        known = {member.serialization.get("name", name): (name, member) for name, member in shape.members.items()}
        return dict((known[tag(child)][0], value_of(known[tag(child)][1], child)) if tag(child) in known else (tag(child), child.text) for child in node)
    if kind == "list":
        return [value_of(shape.member, child) for child in node]
    if kind == "map":
        pairs = [{tag(part): part for part in entry} for entry in node]
        return {pair["key"].text or "": value_of(shape.value, pair["value"]) for pair in pairs}
    text = node.text or ""
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind in model.WHOLE:
        return int(text) if text.lstrip("-").isdigit() else text
    if kind == "timestamp":
        return 0 if text.endswith("Z") else text
    return float(text) if kind in model.NUMBER else text
