// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
)

// The arguments and selectors that Start refuses.

// Start rejects a selector that selects nothing. Its text form is "", and a list with that
// text would select every pod.
func TestStartRejectsSelectorOfNothing(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		nothing, err := metav1.LabelSelectorAsSelector(nil)
		must(t, err)
		for name, selector := range map[string]labels.Selector{
			"labels.Nothing": labels.Nothing(), "LabelSelectorAsSelector(nil)": nothing,
			"a nil pointer": (*unprintableSelector)(nil), "one that cannot be written": &unprintableSelector{
				labels.SelectorFromSet(labels.Set{"a": "b"}),
			},
		} {
			client := fake.NewClientset(pod("1"))
			source := newSource(watchsource.NewStore(), client, watchsource.WithSelector(func(string) labels.Selector { return selector }))
			if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "selector for application") {
				t.Errorf("%s: Start = %v, want an error about the selector", name, err)
			}
			if n := len(client.Actions()); n > 0 {
				t.Errorf("%s: %d requests, want none", name, n)
			}
		}
	})
}

// unprintableSelector is a selector whose text form is "".
type unprintableSelector struct{ labels.Selector }

func (*unprintableSelector) String() string { return "" }

func TestWatchIsLabelSelected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), client, watchsource.WithNamespace("jobs"))
		start(t, source, "app-7")
		source.Stop()
		for _, action := range client.Actions() {
			var selector labels.Selector
			switch action := action.(type) {
			case k8stesting.ListAction:
				selector = action.GetListRestrictions().Labels
			case k8stesting.WatchAction:
				selector = action.GetWatchRestrictions().Labels
			}
			if got := selector.String(); got != "spark-app-selector=app-7,spark-role=executor" {
				t.Errorf("%s with the selector %q, want spark-app-selector=app-7,spark-role=executor", action.GetVerb(), got)
			}
			if action.GetNamespace() != "jobs" {
				t.Errorf("%s in namespace %q, want jobs", action.GetVerb(), action.GetNamespace())
			}
		}
	})
}

func TestStartRefusesBadApplicationIDs(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		source := newSource(watchsource.NewStore(), client)
		for _, appID := range []string{"", " ", "a b", "ends-with-dash-", "a=b", strings.Repeat("x", 64)} {
			if err := source.Start(appID); !errors.Is(err, watchsource.ErrInvalidAppID) {
				t.Errorf("Start(%q) = %v, want ErrInvalidAppID", appID, err)
			}
		}
		if actions := client.Actions(); len(actions) > 0 {
			t.Errorf("Start made the requests %v, want none", actions)
		}
	})
}

func TestStartRefusesNil(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		var noStore *watchsource.Store
		var noClient *kubernetes.Clientset
		for _, test := range []struct {
			store  watchsource.SnapshotsStore
			client kubernetes.Interface
			want   string
		}{
			{store: nil, client: fake.NewClientset(), want: "the store is nil"},
			{store: noStore, client: fake.NewClientset(), want: "the store is nil"},
			{store: watchsource.NewStore(), want: "the client is nil"},
			{store: watchsource.NewStore(), client: noClient, want: "the client is nil"},
		} {
			err := newSource(test.store, test.client).Start("app")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start = %v, want %q", err, test.want)
			}
		}
	})
}

func TestStartRefusesSelectorOfEverything(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for _, selector := range []labels.Selector{labels.Everything(), labels.NewSelector()} {
			source := newSource(watchsource.NewStore(), fake.NewClientset(),
				watchsource.WithSelector(func(string) labels.Selector { return selector }))
			if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "selects every pod") {
				t.Errorf("Start = %v, want an error that says \"selects every pod\"", err)
			}
		}
	})
}

func TestWithSelector(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		selected := pod("1", label("batch.example/job", "nightly"))
		client := fake.NewClientset(selected, pod("2"))
		store := watchsource.NewStore()
		source := newSource(store, client, watchsource.WithSelector(func(appID string) labels.Selector {
			return labels.SelectorFromSet(labels.Set{"batch.example/job": appID})
		}))
		start(t, source, "nightly")
		defer source.Stop()
		create(t, client, pod("3"))
		create(t, client, pod("4", label("batch.example/job", "nightly")))
		wantNames(t, store, "exec-1=Pending exec-4=Pending")
	})
}
