"""A volume plugin of Docker's protocol, version 1: volume_plugin.py SOCKET DIRECTORY. Volumes are directories; calls go to DIRECTORY/calls."""
import http.server, json, os, pathlib, shutil, socketserver, sys

SOCKET, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])


def act(method, body):
    name, path = body.get('Name'), ROOT / 'volumes' / (body.get('Name') or '')
    describe = lambda one: {'Name': one.name, 'Mountpoint': str(one), 'Status': {'kind': 'directory'}}
    if method == 'Plugin.Activate':
        return {'Implements': ['VolumeDriver']}
    if method == 'VolumeDriver.Capabilities':
        return {'Capabilities': {'Scope': 'global'}}
    if method == 'VolumeDriver.List':
        return {'Volumes': [describe(one) for one in (ROOT / 'volumes').iterdir()], 'Err': ''}
    if method == 'VolumeDriver.Create':
        if (body.get('Opts') or {}).get('refuse'):
            return {'Err': 'refused: ' + body['Opts']['refuse']}
        path.mkdir()
        return {'Err': ''}
    if not path.exists():
        return {'Err': f'no volume {name}'}
    if method == 'VolumeDriver.Get':
        return {'Volume': describe(path), 'Err': ''}
    if method == 'VolumeDriver.Remove':
        shutil.rmtree(path)
    return {'Mountpoint': str(path), 'Err': ''}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get('Content-Length') or 0)) or b'{}')
        method = self.path.strip('/')
        if method in ('VolumeDriver.Mount', 'VolumeDriver.Unmount'):
            with open(ROOT / 'calls', 'a') as calls:
                calls.write(f"{method} {body['Name']} {body['ID']}\n")
        answer = json.dumps(act(method, body)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def address_string(self):
        return 'unix'

    def log_message(self, *_):
        pass


(ROOT / 'volumes').mkdir()
with socketserver.UnixStreamServer(SOCKET, Handler) as server:
    server.serve_forever()
