#!/usr/bin/env bash
# nginx with its default buffering passes each event of a watch on at once. With gzip for its media
# type, and a client that accepts gzip, as Go's does by default, nginx holds everything back, the
# headers too, until the watch ends or a buffer is full. "proxy_buffering off" lets the events
# through at once again, and compressed.
#
# Seen with nginx 1.22.1 (Debian 12) in front of a server that writes an event in each of five
# seconds, in chunks, as kube-apiserver does. Needs Debian 12, Python and curl; half a minute.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q nginx=1.22.1-9+deb12u11 >log 2>&1 && dpkg -x nginx_*.deb . || { cat log; exit 1; }

cat >server.py <<'PY'
import http.server, time


class Watch(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(5):
            time.sleep(1)
            event = b'{"type":"MODIFIED","object":{"n":%d}}\n' % i
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")


http.server.ThreadingHTTPServer(("127.0.0.1", 18081), Watch).serve_forever()
PY
python3 server.py 2>server.log &
cat >nginx.conf <<NGINX
daemon off; pid nginx.pid;
events {}
http {
	access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	proxy_http_version 1.1;
	gzip_types application/json;
	server {
		listen 127.0.0.1:18082;
		location /plain { proxy_pass http://127.0.0.1:18081; }
		location /gzip { proxy_pass http://127.0.0.1:18081; gzip on; }
		location /unbuffered { proxy_pass http://127.0.0.1:18081; gzip on; proxy_buffering off; }
	}
}
NGINX
usr/sbin/nginx -p "$dir" -e error.log -c nginx.conf &
timeout 20 bash -c 'until (exec 3<>/dev/tcp/127.0.0.1/18081 4<>/dev/tcp/127.0.0.1/18082) 2>/dev/null; do sleep 0.1; done'

# first PATH says when the first byte has come. The watch lasts five seconds.
first() {
	curl -sN -o /dev/null -w '%{time_starttransfer}\n' -H 'Accept-Encoding: gzip' "http://127.0.0.1:18082/$1" | awk -v what="$1" '{ print what ": " ($1 > 4.5 ? "at its end" : "while it lasts") }'
}
for path in plain gzip unbuffered; do
	first $path
done >output
want='plain: while it lasts
gzip: at its end
unbuffered: while it lasts'
cat output
if [ "$(cat output)" != "$want" ]; then
	printf 'the behaviour has changed, seen was:\n%s\n' "$want"
	exit 1
fi
