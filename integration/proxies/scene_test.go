// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/internal/test/podtest"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

const (
	appID     = "spark-5f0c1a7e9b"
	selector  = "spark-app-selector=" + appID + ",spark-role=executor"
	executors = 3

	// How many other pods change a second on a busy server.
	otherChanges = 40
	// How many of these changes are under way at a time, on a machine that is slow.
	writers = 8
)

// A scene is an API server, an application on it, and its viewers.
type scene struct {
	name      string
	upstream  string       // host and port
	config    *rest.Config // of a service account; the proxies pass its token on
	namespace string
	pods      typedcorev1.PodInterface // as the administrator
	viewers   []*viewer
}

func newScene(t *testing.T, name string, c *cluster.Cluster) *scene {
	t.Helper()
	admin := c.Config()
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "proxies-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := cluster.AddServiceAccount(t.Context(), admin, namespace.Name, "scheduler",
		rbacv1.PolicyRule{Verbs: []string{"list", "watch"}, APIGroups: []string{""}, Resources: []string{"pods"}})
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(admin.Host)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{name: name, upstream: target.Host, config: config, namespace: namespace.Name, pods: client.CoreV1().Pods(namespace.Name)}
	for id := range executors {
		if err := s.create(t.Context(), s.pod(appID, id)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *scene) pod(app string, id int) *corev1.Pod {
	return podtest.Pod(strconv.Itoa(id), podtest.Of(s.namespace, app), podtest.Runnable)
}

func (s *scene) create(ctx context.Context, pod *corev1.Pod) error {
	_, err := s.pods.Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// touch changes a pod, and returns its new version.
func (s *scene) touch(ctx context.Context, name string) (version string, err error) {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":%q}}}`, time.Now().Format(time.RFC3339Nano))
	pod, err := s.pods.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return "", err
	}
	return pod.ResourceVersion, nil
}

// change changes an executor, and lets each viewer note how long it takes until it sees that.
func (s *scene) change(t *testing.T) {
	t.Helper()
	name := s.pod(appID, 1).Name
	version, err := s.touch(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for _, v := range s.viewers {
		waiting.Go(func() { v.await(t.Context(), name, version) })
	}
	waiting.Wait()
}

// crowd changes pods of another application until the function that it returns is called, or
// the test ends.
func (s *scene) crowd(t *testing.T) (leave func(*testing.T)) {
	t.Helper()
	var names []string
	for id := range otherChanges {
		pod := s.pod("spark-0000000000", id)
		if err := s.create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		names = append(names, pod.Name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	var changes atomic.Int64
	begin := time.Now()
	for part := range slices.Chunk(names, len(names)/writers) {
		writing.Go(func() {
			tick := time.NewTicker(writers * time.Second / otherChanges)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if _, err := s.touch(ctx, part[n%len(part)]); err == nil {
					changes.Add(1)
				}
			}
		})
	}
	stop := sync.OnceValue(func() float64 {
		cancel()
		writing.Wait()
		return float64(changes.Load()) / time.Since(begin).Seconds()
	})
	t.Cleanup(func() { stop() })
	return func(t *testing.T) {
		if rate := stop(); rate < otherChanges/2 {
			t.Errorf("the server was not busy: %.0f changes a second, want %d", rate, otherChanges)
		}
	}
}

// judge judges each viewer in a subtest, and adds its row to a table.
func (s *scene) judge(t *testing.T, table *strings.Builder) {
	for _, v := range s.viewers {
		t.Run(v.title(), v.judge)
		table.WriteString(v.row())
	}
}

// view starts viewers of all setups whose program is installed. Where watches are cut, a
// source of a SharedWatch watches too.
func (s *scene) view(t *testing.T) {
	t.Helper()
	s.viewThrough(t, nil)
	for _, p := range programs {
		if p.installed() {
			s.viewThrough(t, p)
		}
	}
}

// viewThrough starts a program and viewers of all its setups. With nil there is no proxy.
func (s *scene) viewThrough(t *testing.T, p *program) (started *proxy) {
	t.Helper()
	var ways []setup
	var listeners []*listener
	for _, w := range setups {
		if w.program == p {
			ways = append(ways, w, w)
			listeners = append(listeners, &listener{settings: w.settings}, &listener{settings: w.settings, http2: true})
		}
	}
	if p != nil {
		started = p.start(t, s.upstream, listeners)
	}
	for i, w := range ways {
		l, config := listeners[i], s.config
		switch {
		case p != nil:
			config = started.through(l, s.config)
		case !l.http2:
			continue // the server speaks HTTP/2
		}
		s.start(t, w, l.http2, config)
		if !w.uncut {
			s.startShared(t, w, l.http2, config)
		}
	}
	return started
}

// viewReplaced starts a viewer through Envoy's defaults. The function that it returns puts
// HAProxy in the place of Envoy.
func (s *scene) viewReplaced(t *testing.T) (replace func()) {
	t.Helper()
	if !envoy.installed() || !haproxy.installed() {
		return func() {}
	}
	l := &listener{}
	first := envoy.start(t, s.upstream, []*listener{l})
	w := setup{name: "envoy, then haproxy 50s", replaced: true}
	s.start(t, w, l.http2, first.through(l, s.config))
	return func() {
		first.stop()
		haproxy.start(t, s.upstream, []*listener{{address: l.address, settings: "timeout client 50s; timeout server 50s"}})
	}
}
