// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/watchtest"
)

func tryList(t *testing.T, srv *watchtest.Server) error {
	t.Helper()
	_, err := srv.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	return err
}

func TestRefuse(t *testing.T) {
	srv := watchtest.NewServer()
	srv.Inject(watchtest.Fault{On: watchtest.List, Times: 2, Do: watchtest.Refuse()})
	for range 2 {
		if err := tryList(t, srv); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("err = %v, want ECONNREFUSED", err)
		}
	}
	if err := tryList(t, srv); err != nil {
		t.Errorf("the third list: %v", err)
	}
}

func TestAnswer(t *testing.T) {
	for _, test := range []struct {
		status *apierrors.StatusError
		is     func(error) bool
	}{
		{status: apierrors.NewUnauthorized("who are you?"), is: apierrors.IsUnauthorized},
		{status: apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no")), is: apierrors.IsForbidden},
		{status: apierrors.NewTooManyRequests("not so fast", 0), is: apierrors.IsTooManyRequests},
		{status: apierrors.NewInternalError(errors.New("oops")), is: apierrors.IsInternalError},
		{status: apierrors.NewServiceUnavailable("starting"), is: apierrors.IsServiceUnavailable},
		{status: apierrors.NewResourceExpired("too old"), is: apierrors.IsResourceExpired},
		{status: &apierrors.StatusError{ErrStatus: metav1.Status{Code: 418, Reason: "Teapot"}}, is: func(err error) bool {
			return apierrors.ReasonForError(err) == "Teapot"
		}},
	} {
		inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
			srv := watchtest.NewServer()
			lift := srv.Inject(watchtest.Fault{Do: watchtest.Answer(test.status)})
			pods := client(srv).CoreV1().Pods("default")
			_, errList := pods.List(t.Context(), metav1.ListOptions{})
			_, errWatch := pods.Watch(t.Context(), metav1.ListOptions{})
			_, errGet := pods.Get(t.Context(), "a", metav1.GetOptions{})
			for _, err := range []error{errList, errWatch, errGet} {
				if !test.is(err) {
					t.Errorf("%d: err = %v", test.status.ErrStatus.Code, err)
				}
			}
			lift()
			lift()
			if _, err := pods.List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Errorf("after lift: %v", err)
			}
		})
	}
}

func TestAnswerRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{Times: 2, Do: watchtest.Answer(apierrors.NewTooManyRequests("not so fast", 7))})
		start := time.Now()
		if err := tryList(t, srv); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 14*time.Second {
			t.Errorf("client-go waited %v, want 14s", took)
		}
	})
}

func TestFaultsMakeScript(t *testing.T) {
	srv := watchtest.NewServer()
	internal := watchtest.Answer(apierrors.NewInternalError(errors.New("oops")))
	srv.Inject(watchtest.Fault{On: watchtest.List, Skip: 1, Times: 1, Do: watchtest.Refuse()})
	srv.Inject(watchtest.Fault{On: watchtest.Get, Do: internal})
	srv.Inject(watchtest.Fault{On: watchtest.List, Skip: 1, Times: 1, Do: internal})
	var got []string
	for range 4 {
		switch err := tryList(t, srv); {
		case err == nil:
			got = append(got, "ok")
		case apierrors.IsInternalError(err):
			got = append(got, "500")
		default:
			got = append(got, "refused")
		}
	}
	if want := []string{"ok", "refused", "500", "ok"}; !slices.Equal(got, want) {
		t.Errorf("answers = %q, want %q", got, want)
	}
}

func TestFaultIf(t *testing.T) {
	srv := watchtest.NewServer()
	srv.Create(executor("a"))
	srv.Create(executor("b"))
	srv.Inject(watchtest.Fault{
		On: watchtest.List,
		If: func(r watchtest.Request) bool { return r.Options.Continue != "" },
		Do: watchtest.Refuse(),
	})
	first := list(t, srv.Client(), metav1.ListOptions{Limit: 1})
	_, err := srv.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{Limit: 1, Continue: first.Continue})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("err = %v, want ECONNREFUSED", err)
	}
}

func TestFaultWithoutEffectPanics(t *testing.T) {
	defer func() {
		if r, _ := recover().(string); !strings.HasPrefix(r, "watchtest: ") {
			t.Errorf("panic = %q, want it to begin with watchtest:", r)
		}
	}()
	watchtest.NewServer().Inject(watchtest.Fault{On: watchtest.List})
}

func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		lift := srv.Inject(watchtest.Fault{Do: watchtest.Hang()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := srv.Client().CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("err = %v after %v, want DeadlineExceeded after 1h", err, time.Since(start))
		}

		// When the fault is lifted, the server answers the request.
		answered := make(chan error)
		go func() { answered <- tryList(t, srv) }()
		time.Sleep(time.Minute)
		lift()
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Delay(40 * time.Second)})
		start := time.Now()
		if err := tryList(t, srv); err != nil || time.Since(start) != 40*time.Second {
			t.Errorf("err = %v after %v, want <nil> after 40s", err, time.Since(start))
		}
	})
}

// client-go repeats a GET that was reset, after a second.
func TestResetBeforeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{On: watchtest.List, Times: 1, Do: watchtest.Reset()})
		if err := tryList(t, srv); err != nil || srv.Count(watchtest.List) != 2 {
			t.Errorf("err = %v after %d lists, want <nil> after 2", err, srv.Count(watchtest.List))
		}
	})
}

// A fault can lose the answer to a write that the server has executed.
func TestAnswerIsLost(t *testing.T) {
	srv := watchtest.NewServer()
	srv.Inject(watchtest.Fault{On: watchtest.Create, After: 1, Do: watchtest.Reset()})
	_, err := srv.Client().CoreV1().Pods("default").Create(t.Context(), executor("a"), metav1.CreateOptions{})
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("err = %v, want ECONNRESET", err)
	}
	if got := names(srv.List("")); !slices.Equal(got, []string{"a"}) {
		t.Errorf("pods = %v, want [a]", got)
	}
}

func TestAnswerIsWrong(t *testing.T) {
	srv := watchtest.NewServer()
	srv.Inject(watchtest.Fault{On: watchtest.Create, After: 1, Do: watchtest.Answer(apierrors.NewTimeoutError("too slow", 0))})
	_, err := srv.Client().CoreV1().Pods("default").Create(t.Context(), executor("a"), metav1.CreateOptions{})
	if got := names(srv.List("")); !apierrors.IsTimeout(err) || len(got) != 1 {
		t.Errorf("err = %v, pods = %v, want a timeout and one pod", err, got)
	}
}

func TestAnswerIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		srv.Inject(watchtest.Fault{On: watchtest.List, After: 1, Do: watchtest.Delay(time.Minute)})
		time.AfterFunc(time.Second, func() { srv.Delete("default", "a") })
		if got := names(list(t, srv.Client(), metav1.ListOptions{}).Items); !slices.Equal(got, []string{"a"}) {
			t.Errorf("pods = %v, want [a], as before the later change", got)
		}
	})
}

func TestBrokenListBodies(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		for name, effect := range map[string]watchtest.Effect{
			"cut":     watchtest.Cut(),
			"tear":    watchtest.Tear(),
			"malform": watchtest.Malform(),
			"raw":     watchtest.SendRaw([]byte("<html>Bad Gateway</html>")),
		} {
			srv := watchtest.NewServer()
			srv.Create(executor("a"))
			srv.Inject(watchtest.Fault{On: watchtest.List, Times: 1, Do: effect})
			pods := client(srv).CoreV1().Pods("")
			if list, err := pods.List(t.Context(), metav1.ListOptions{}); err == nil {
				t.Errorf("%s: a list of %v, want an error", name, names(list.Items))
			}
			if _, err := pods.List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Errorf("%s: the next list: %v", name, err)
			}
		}
	})
}

func TestSilentList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		lift := srv.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Silence()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := srv.Client().CoreV1().Pods("").List(ctx, metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want DeadlineExceeded", err)
		}
		lift()
	})
}

func TestSlowList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		srv.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Slow(1, time.Second)})
		start := time.Now()
		if err := tryList(t, srv); err != nil || time.Since(start) < time.Minute {
			t.Errorf("err = %v after %v, want <nil> after a minute or more", err, time.Since(start))
		}
	})
}

// Several faults can apply to one request.
func TestFaultsCombine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{Times: 1, Do: watchtest.Delay(time.Second)})
		srv.Inject(watchtest.Fault{Times: 1, Do: watchtest.Slow(1, time.Second)})
		srv.Inject(watchtest.Fault{Times: 1, Do: watchtest.Answer(apierrors.NewUnauthorized("who?"))})
		start := time.Now()
		if err := tryList(t, srv); !apierrors.IsUnauthorized(err) || time.Since(start) < 10*time.Second {
			t.Errorf("err = %v after %v, want Unauthorized after 10s or more", err, time.Since(start))
		}
	})
}

// Go's HTTP client, without client-go, reports these errors.
func TestBodyErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{On: watchtest.List, Times: 1, Do: watchtest.Tear()})
		body, err := srv.Client().CoreV1().RESTClient().Get().Resource("pods").Stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("err = %v, want ErrUnexpectedEOF", err)
		}
		body.Close()
		if _, err := body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Read after Close: %v", err)
		}
	})
}
