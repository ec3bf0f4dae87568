#!/usr/bin/env bash
# kube-apiserver ends a watch whose client reads slowly while pods change: once a queue of some ten
# events is full, in good order (WebSocket code 1000), and with no reason given. If the watch was
# opened without a version and still sends the pods that exist, in the order of their names, the
# version of the last one says nothing about the rest. Two clients go on from it all the same:
# - The official Python client then watches on without an error, but the pods that come later by
#   name and have an older version never arrive.
# - fabric8's client, which Apache Spark 4.2 has, is answered 410 if the server's history does not
#   reach back so far, here because the server has restarted. It closes the watch for good; Spark
#   opens no other one. This is without streaming lists (1.33 and older, or the gate WatchList
#   off). With them, a watch that allows bookmarks, as fabric8's does, is cut there only if the
#   queue is full before one of the bookmarks that the server makes each second is in it.
#
# Seen with kube-apiserver 1.34.4 and 1.37.2, etcd 3.7.3, kubernetes 37.0.2 from PyPI, and
# kubernetes-client 7.6.1 from Maven Central. Needs Go 1.26, Python with venv, a JDK 17, Maven,
# openssl and curl; ten minutes the first time, of which the build of kube-apiserver takes six.
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
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver v1.34.4 k8s.io/kubernetes
python3 -m venv venv && venv/bin/pip install -q --no-compile --disable-pip-version-check kubernetes==37.0.2
cat >pom.xml <<'XML'
<project><modelVersion>4.0.0</modelVersion><groupId>f</groupId><artifactId>f</artifactId><version>1</version><dependencies>
<dependency><groupId>io.fabric8</groupId><artifactId>kubernetes-client</artifactId><version>7.6.1</version></dependency></dependencies></project>
XML
mvn -q dependency:copy-dependencies -DoutputDirectory=jars >log || { tail log; exit 1; }

cat >watch.py <<'PY'
import sys
from kubernetes import client, watch

server = client.Configuration(host="https://127.0.0.1:17443", api_key={"authorization": "Bearer admin"})
server.verify_ssl = False
api = client.CoreV1Api(client.ApiClient(server))

def touch(n):
    api.patch_namespaced_pod("pod-001", "default", {"metadata": {"annotations": {"n": str(n)}}})

if sys.argv[1] == "create":  # from the last name to the first
    for i in range(300, 0, -1):
        api.create_namespaced_pod("default", {"metadata": {"name": f"pod-{i:03}", "annotations": {"large": "x" * 60_000}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
elif sys.argv[1] == "touch":
    for n in range(60):
        touch(n)
else:
    names = set()
    watching = watch.Watch()
    for event in watching.stream(api.list_namespaced_pod, "default"):
        if not names:
            for n in range(60):
                touch(n)  # a consumer that is busy while pods change
        names.add(event["object"].metadata.name)
        if event["object"].metadata.annotations.get("n") == "59":
            watching.stop()  # the last change has come, so whatever was before has come too
    print("Python:", "no error,", "pods are missing" if len(names) < 300 else "all pods")
    print(len(names), "of 300 pods", file=sys.stderr)
PY
cat >Watch.java <<'JAVA'
import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.client.*;
import java.util.concurrent.*;

class Watch {
  public static void main(String[] args) throws Exception {
    var config = new ConfigBuilder().withMasterUrl("https://127.0.0.1:17443").withOauthToken("admin").withTrustCerts(true).build();
    var names = new ConcurrentSkipListSet<String>();
    var end = new CompletableFuture<String>();
    new KubernetesClientBuilder().withConfig(config).build().pods().inNamespace("default").watch(new Watcher<Pod>() {
      public void eventReceived(Action action, Pod pod) {
        if (names.isEmpty()) System.err.println("first event");
        names.add(pod.getMetadata().getName());
      }
      public void onClose(WatcherException cause) {
        end.complete("closed for good: " + cause.getMessage().replaceAll("[0-9]+", "N"));
      }
    });
    var how = end.completeOnTimeout("still open", 300, TimeUnit.SECONDS).get();
    System.out.println("fabric8: " + how + (names.size() < 300 ? ", pods are missing" : ", all pods"));
    System.err.println(names.size() + " of 300 pods");
    System.exit(0);
  }
}
JAVA

openssl genrsa -out key 2048 2>>log && echo 'admin,admin,1,system:masters' >tokens
./etcd --unsafe-no-fsync --listen-client-urls http://127.0.0.1:17379 --advertise-client-urls http://127.0.0.1:17379 --listen-peer-urls http://127.0.0.1:17380 >etcd.log 2>&1 &
serve() { # FLAGS
	./kube-apiserver --etcd-servers=http://127.0.0.1:17379 --bind-address=127.0.0.1 --secure-port=17443 --cert-dir=. --token-auth-file=tokens \
		--service-account-issuer=https://finding --service-account-key-file=key --service-account-signing-key-file=key \
		--disable-admission-plugins=ServiceAccount --endpoint-reconciler-type=none "$@" >apiserver.log 2>&1 &
	apiserver=$!
	timeout 200 bash -c 'until curl -skf -H "Authorization: Bearer admin" https://127.0.0.1:17443/readyz; do sleep 0.3; done' >>log
}
serve
timeout 300 venv/bin/python -W ignore watch.py create
timeout 300 venv/bin/python -W ignore watch.py watch >output
kill -9 $apiserver && wait $apiserver 2>>log || true
serve --feature-gates=WatchList=false
java -cp 'jars/*' Watch.java >java.output 2>java.log &
client=$!
timeout 300 bash -c 'until grep -q "first event" java.log; do sleep 0.1; done'
kill -STOP $client
timeout 300 venv/bin/python -W ignore watch.py touch
kill -CONT $client
wait $client && cat java.output >>output

want='Python: no error, pods are missing
fabric8: closed for good: too old resource version: N (N), pods are missing'
cat output
grep 'of 300' java.log
if [ "$(cat output)" != "$want" ]; then
	printf 'the behaviour has changed, seen was:\n%s\n' "$want"
	exit 1
fi
