"""A registry that tests can make misbehave, over TLS, and images for it."""
import gzip
import hashlib
import http.server
import io
import json
import os
import ssl
import subprocess
import tarfile
import threading

OCI = "application/vnd.oci.image."


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Authority:
    """A certificate authority in a directory, made with openssl."""

    def __init__(self, home):
        self.home, self.pem = home, home / "authority.pem"
        home.mkdir()
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=test authority",
                     "-keyout", home / "authority.key", "-out", self.pem)

    @staticmethod
    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def certificate(self, address):
        """Paths of a certificate for an address and of its key."""
        pem, key, request = (self.home / f"{address}.{end}" for end in ("pem", "key", "csr"))
        names = self.home / f"{address}.ext"
        names.write_text(f"subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={address}", "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.home / "authority.key", "-CAcreateserial", "-days", "30",
                     "-extfile", names, "-out", pem)
        return pem, key


class Image:
    """An image of one layer, its documents and blobs. Two are never alike: nothing of one is there before it is pulled."""

    def __init__(self, base=None, size=100_000):
        self.salt = os.urandom(8).hex()
        layer = io.BytesIO()
        if base:
            with tarfile.open(base) as archive:
                layer.write(archive.extractfile("layer.tar").read())
            layer.seek(0)
        with tarfile.open(fileobj=layer, mode="a" if base else "w") as tar:
            for name, data in (("salt", self.salt.encode()), ("noise", os.urandom(size))):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        plain = layer.getvalue()
        self.layer = gzip.compress(plain, 1)
        self.config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"], "Env": ["PATH=/bin"]},
                                  "rootfs": {"type": "layers", "diff_ids": [digest(plain)]}}).encode()
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": self.part("config.v1+json", self.config),
                                    "layers": [self.part("layer.v1.tar+gzip", self.layer)]}).encode()
        self.blobs = {digest(blob): blob for blob in (self.config, self.layer)}

    @staticmethod
    def part(kind, data):
        return {"mediaType": OCI + kind, "size": len(data), "digest": digest(data)}


class Upstream(http.server.ThreadingHTTPServer):
    """Serves images by repository name. A test's `hook(request)` may answer first, and says so with True."""

    daemon_threads = True

    def __init__(self, address, port=443, certificate=None):
        super().__init__((address, port), Request)
        self.address, self.images, self.hook, self.seen = address, {}, None, []
        self.host = address if port == 443 else f"{address}:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # The handshake belongs to the connection's thread, not to the one that accepts.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients that break off are what these tests are about."""

    def close(self):
        self.shutdown()
        self.server_close()

    def put(self, name, image):
        self.images[name] = image
        return f"{self.host}/{name}:1"

    def asked(self, part):
        return [path for path, _ in self.seen if part in path]


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        if self.server.hook and self.server.hook(self):
            return
        name, _, rest = self.path.removeprefix("/v2/").rpartition("/manifests/")
        if name:
            return self.serve_manifest(name, rest)
        name, _, wanted = self.path.removeprefix("/v2/").rpartition("/blobs/")
        blob = self.server.images[name].blobs.get(wanted) if name in self.server.images else None
        self.reply(200, blob) if blob is not None else self.refuse(404, "BLOB_UNKNOWN")

    do_POST = do_GET

    def serve_manifest(self, name, reference):
        image = self.server.images.get(name)
        if image is None:
            return self.refuse(404, "NAME_UNKNOWN")
        if reference not in ("1", digest(image.manifest)):
            return self.refuse(404, "MANIFEST_UNKNOWN")
        self.reply(200, image.manifest, {"Content-Type": json.loads(image.manifest)["mediaType"]})

    def reply(self, status, body=b"", headers=None):
        offset = 0
        if status == 200 and self.headers.get("Range"):
            offset = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
            status = 206 if offset < len(body) else 416
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {offset}-{len(body) - 1}/{len(body)}")
        body = body[offset:]
        for name, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code, headers=None):
        self.reply(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(), {"Content-Type": "application/json", **(headers or {})})

    def break_off(self):
        """Ends the connection without the polite end of TLS."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    def endless(self, content_type="application/octet-stream"):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b"x" * 65536)


def many_layers(path, base, count):
    """An OCI layout of an image of so many layers; its digest. Each layer adds a file of its own and writes `last` anew."""
    image, blobs = Image(base), path / "blobs/sha256"
    blobs.mkdir(parents=True)
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    packed = [image.layer]
    for number in range(1, count):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for name in (f"n{number}", "last"):
                entry = tarfile.TarInfo(name)
                entry.size = len(str(number))
                tar.addfile(entry, io.BytesIO(str(number).encode()))
        config["rootfs"]["diff_ids"].append(digest(layer.getvalue()))
        packed.append(gzip.compress(layer.getvalue(), 1))
    config = json.dumps(config).encode()
    manifest["config"] = Image.part("config.v1+json", config)
    manifest["layers"] = [Image.part("layer.v1.tar+gzip", one) for one in packed]
    manifest = json.dumps(manifest).encode()
    for blob in (*packed, config, manifest):
        (blobs / digest(blob).split(":")[1]).write_bytes(blob)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    described = {**Image.part("manifest.v1+json", manifest), "annotations": {"org.opencontainers.image.ref.name": "1"}}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return digest(manifest)


def layout(path, *images):
    """Writes an OCI layout whose tag `1` is an index of images, by architecture."""
    def keep(data):
        (blobs / digest(data).removeprefix("sha256:")).write_bytes(data)

    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)
    for _, image in images:
        for data in (image.manifest, *image.blobs.values()):
            keep(data)
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [
        {**Image.part("manifest.v1+json", image.manifest), "platform": {"os": "linux", "architecture": architecture}}
        for architecture, image in images]}).encode()
    keep(index)
    tagged = {**Image.part("index.v1+json", index), "annotations": {"org.opencontainers.image.ref.name": "1"}}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [tagged]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return digest(index)
