// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
)

// A panic of the client or the store in Start reaches the caller. The source is stopped
// afterwards.
func TestPanicInStart(t *testing.T) {
	for name, prepare := range map[string]func() (watchsource.SnapshotsStore, *fake.Clientset){
		"the list": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			client := fake.NewClientset()
			client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) { panic("broken") })
			return watchsource.NewStore(), client
		},
		"the watch": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			client := fake.NewClientset()
			client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) { panic("broken") })
			return watchsource.NewStore(), client
		},
		"the store": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			return panickingStore{}, fake.NewClientset()
		},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			store, client := prepare()
			source := newSource(store, client)
			for range 2 { // the second call shows that the source is stopped
				func() {
					defer func() {
						if r := recover(); r != "broken" {
							t.Errorf("recovered %v, want \"broken\"", r)
						}
					}()
					t.Errorf("Start = %v, want a panic", source.Start("app"))
				}()
			}
			source.Stop()
			if got := source.Status().Phase; got != watchsource.Stopped {
				t.Errorf("phase %v, want Stopped", got)
			}
		})
	}
}

type panickingStore struct{ watchsource.SnapshotsStore }

func (panickingStore) ReplaceSnapshot([]*corev1.Pod) { panic("broken") }

// brokenClient panics in every method, because its interface is nil.
type brokenClient struct{ kubernetes.Interface }

// A panic of the client before its first request also reaches the caller.
func TestPanicOfTheClientItself(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		source := newSource(watchsource.NewStore(), brokenClient{})
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("Start returned, want a panic")
					}
				}()
				t.Errorf("Start = %v, want a panic", source.Start("app"))
			}()
		}
		source.Stop()
	})
}
