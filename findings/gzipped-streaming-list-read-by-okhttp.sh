#!/usr/bin/env bash
# Since kube-apiserver 1.37 a streaming list is gzipped for clients that accept gzip, and so is the
# watch that it turns into: each flush is a gzip member of its own. OkHttp accepts gzip without
# being asked to and reads one member only. It returns the pods or, here, the ConfigMaps that
# exist, and the bookmark after them; the first event later is "gzip finished without exhausting
# source".
# The request need not ask for a streaming list: since 1.34 a watch without a version that allows
# bookmarks is one. With the request header "Accept-Encoding: identity" nothing is compressed.
#
# Seen with kube-apiserver 1.37.2, etcd 3.7.3 and OkHttp 5.5.1 from Maven Central. Needs Go 1.26, a
# JDK 17, Maven, openssl and curl; ten minutes the first time, of which the build of kube-apiserver
# takes six.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off

build() { # NAME PACKAGE VERSION MODULE, with the versions that the module names
	mkdir "mod-$1" && cd "mod-$1"
	theirs=$(go mod download -json "$4@$3" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
	{
		echo 'module finding' && grep -E '^(go|godebug) ' "$theirs"
		sed -En "s|^\t(k8s.io/[a-z0-9-]+) v0\.0\.0( .*)?$|replace \1 => \1 ${3/v1./v0.}|p" "$theirs" | sort -u
	} >go.mod
	go get "$2@$3" 2>../log && go build -o "../$1" "$2" 2>../log || { tail ../log; exit 1; }
	cd ..
}
build etcd go.etcd.io/etcd/server/v3 v3.7.3 go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver v1.37.2 k8s.io/kubernetes
cat >pom.xml <<'XML'
<project><modelVersion>4.0.0</modelVersion><groupId>f</groupId><artifactId>f</artifactId><version>1</version><dependencies>
<dependency><groupId>com.squareup.okhttp3</groupId><artifactId>okhttp-jvm</artifactId><version>5.5.1</version></dependency></dependencies></project>
XML
mvn -q dependency:copy-dependencies -DoutputDirectory=jars >log || { tail log; exit 1; }

cat >Watch.java <<'JAVA'
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.io.*;
import javax.net.ssl.*;
import okhttp3.*;

class Watch {
  public static void main(String[] args) throws Exception {
    var store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (var file = new FileInputStream("apiserver.crt")) {
      for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(file)) store.setCertificateEntry("" + store.size(), certificate);
    }
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    var tls = SSLContext.getInstance("TLS");
    tls.init(null, trust.getTrustManagers(), null);
    var client = new OkHttpClient.Builder().sslSocketFactory(tls.getSocketFactory(), (X509TrustManager) trust.getTrustManagers()[0]).build();
    var request = new Request.Builder().header("Authorization", "Bearer admin")
        .url("https://127.0.0.1:18443/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=60" + args[1]);
    if (args.length > 2) request.header("Accept-Encoding", args[2]);
    try (var response = client.newCall(request.build()).execute()) {
      System.out.println(args[0] + ", encoding " + response.networkResponse().header("Content-Encoding"));
      for (String line; (line = response.body().source().readUtf8Line()) != null; ) {
        if (line.contains("initial-events-end")) System.err.println("read");
        if (line.contains("\"name\":\"later\"")) break;
      }
      System.out.println("  the later event is read");
    } catch (IOException e) {
      System.out.println("  " + e.getMessage());
    }
    System.exit(0);
  }
}
JAVA

openssl genrsa -out key 2048 2>>log && echo 'admin,admin,1,system:masters' >tokens
./etcd --unsafe-no-fsync --listen-client-urls http://127.0.0.1:18379 --advertise-client-urls http://127.0.0.1:18379 --listen-peer-urls http://127.0.0.1:18380 >etcd.log 2>&1 &
./kube-apiserver --etcd-servers=http://127.0.0.1:18379 --bind-address=127.0.0.1 --secure-port=18443 --cert-dir=. --token-auth-file=tokens \
	--service-account-issuer=https://finding --service-account-key-file=key --service-account-signing-key-file=key \
	--disable-admission-plugins=ServiceAccount --endpoint-reconciler-type=none >apiserver.log 2>&1 &
ask() { curl -sS --fail --cacert apiserver.crt -H 'Authorization: Bearer admin' -H 'Content-Type: application/json' "$@" >>log; }
timeout 200 bash -c 'until curl -skf -H "Authorization: Bearer admin" https://127.0.0.1:18443/readyz; do sleep 0.3; done' >>log

server=https://127.0.0.1:18443/api/v1/namespaces/default/configmaps
watch() { # NAME QUERY [ENCODING]: creates a ConfigMap once the client has read the bookmark
	java -cp 'jars/*' Watch.java "$@" >>output 2>java.log &
	client=$!
	timeout 300 bash -c 'until grep -q read java.log; do sleep 0.1; done' || { cat output java.log; exit 1; }
	ask -d '{"metadata":{"name":"later"}}' "$server"
	wait $client
	ask -X DELETE "$server/later"
}
list='&sendInitialEvents=true&resourceVersionMatch=NotOlderThan'
watch 'streaming list' "&allowWatchBookmarks=true$list"
watch 'watch with bookmarks' '&allowWatchBookmarks=true'
watch 'identity' "&allowWatchBookmarks=true$list" identity

want='streaming list, encoding gzip
  gzip finished without exhausting source
watch with bookmarks, encoding gzip
  gzip finished without exhausting source
identity, encoding null
  the later event is read'
cat output
if [ "$(cat output)" != "$want" ]; then
	printf 'the behaviour has changed, seen was:\n%s\n' "$want"
	exit 1
fi
